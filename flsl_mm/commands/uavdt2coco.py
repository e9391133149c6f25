"""Convert the UAVDT download to COCO's format: a JSON file per split, and a sheet of frames to check it by eye."""

from __future__ import annotations

import argparse
import errno
import gc
import os
from contextlib import ExitStack
from pathlib import Path

from flsl_mm.utils.terminal import say

from . import command_line
from .parser import Parser

SHEET = 'check_sheet.png'
EPILOG = """\
ROOT holds
  UAV-benchmark-M/M0101/img000001.jpg    or  UAV-benchmark-M/M0101/img1/img000001.jpg
  UAV-benchmark-MOTD_v1.0/GT/M0101_gt_whole.txt  and  M0101_gt_ignore.txt
  M_attr/train/M0101_attr.txt            optional: the split and the attributes of a sequence
DIR receives instances_train.json, instances_test.json and check_sheet.png, all of them or, after an error, none.

example:
  flsl-mm uavdt2coco data/uavdt --out data/uavdt/annotations
"""


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not an integer of at least 1')
    return int(text)


def workers(text: str) -> int:
    """Read a number of processes, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not an integer of at least 0')
    return int(text)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('root', type=Path, metavar='ROOT', help='folder of the download, see below')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to write to')
    parser.add_argument(
        '--frame-stride', type=positive, default=1, metavar='N', help='take frames 1, 1+N, 1+2N, ... (default: 1, all)'
    )
    parser.add_argument(
        '--classes',
        choices=['three', 'vehicle'],
        default='three',
        help='three: car, truck and bus (default); vehicle: all of them as one class',
    )
    parser.add_argument(
        '--workers',
        type=workers,
        default=min(os.cpu_count() or 1, 8),
        metavar='N',
        help='processes that read, or 0 for none beside this one (default: one per core, at most 8)',
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Convert as the command line says."""
    # Here, so that --help does not wait for torch.
    from tqdm import tqdm

    from flsl_mm.uavdt.check_sheet import choose_evenly, draw_frames, sample_frames
    from flsl_mm.uavdt.convert import CLASSES, CocoSplitWriter, format_counts, read_sequences
    from flsl_mm.uavdt.layout import SPLITS, find_sequences
    from flsl_mm.utils.fileio import atomic_writer

    # The annotations are many small objects: without this the collector visits all that was imported again and again,
    # which is two thirds of the time.
    gc.freeze()
    sequences = find_sequences(args.root)
    names = [f'instances_{split}.json' for split in SPLITS]
    classes = CLASSES[args.classes]
    info = dict(description='UAVDT, converted by flsl_mm', frame_stride=args.frame_stride)
    try:
        with ExitStack() as stack:
            args.out.mkdir(parents=True, exist_ok=True)
            sheet = stack.enter_context(atomic_writer(args.out / SHEET))
            files = [stack.enter_context(atomic_writer(args.out / name, 'w')) for name in names]
            writers = {split: CocoSplitWriter(file, classes, info) for split, file in zip(SPLITS, files, strict=True)}
            shown = []
            reader = read_sequences(args.root, sequences, args.frame_stride, args.workers)
            for frames in tqdm(reader, total=len(sequences), unit='sequence', disable=None):
                writers[frames.sequence.split].add(frames)
                shown += sample_frames(args.root, frames)
            for writer in writers.values():
                writer.finish()
            draw_frames(choose_evenly(shown)).save(sheet, format='PNG')
            # A full disk shows here, before the first file takes its name.
            for file in (sheet, *files):
                file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(f'the disk of {args.out} is full; what was there before is unchanged') from error
        raise
    say(*format_counts({split: writer.counts for split, writer in writers.items()}, classes).splitlines())
    say(f'wrote {", ".join(names)} to {args.out}; check {args.out / SHEET}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(convert, parse_args(argv))
