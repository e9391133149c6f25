"""Convert weights between this package's layout, the official FLSL one and timm's."""

from __future__ import annotations

import argparse
from pathlib import Path

from flsl_mm.utils.terminal import say

from . import command_line
from .model_options import check_writable
from .parser import Parser

TARGETS = ('flsl', 'official', 'timm')


EPILOG = """\
The layout of SRC is found by itself: files of this package, official FLSL, DINO, DeiT, timm, mmpretrain, mmdet and
detectron2 detectors with an FLSLViT. Nothing is downloaded, and code inside SRC is not run.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('src', type=Path, metavar='SRC', help='checkpoint to read')
    parser.add_argument('dst', type=Path, metavar='DST', help='file to write')
    parser.add_argument(
        '--to',
        required=True,
        choices=TARGETS,
        help='flsl: training checkpoint with both branches if SRC is an FLSL one, else a backbone file; '
        'official: student and teacher as the official program saves them; '
        'timm: bare tensors for a timm VisionTransformer with class_token=False',
    )
    parser.add_argument(
        '--branch',
        choices=('teacher', 'student'),
        help="keep only this branch's backbone (default: all that the target can hold; for timm the teacher)",
    )
    parser.add_argument('--heads', type=int, help='number of attention heads, if SRC does not say')
    parser.add_argument('--force', action='store_true', help='overwrite DST')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Convert a file and say what was written.

    Raises:
        ValueError: If SRC cannot be read or converted, or is DST.
        OSError: If SRC does not exist, DST exists without ``--force`` or cannot be written.
    """
    from flsl_mm import checkpoint

    if args.dst.exists() and not args.force:
        raise FileExistsError(f'{args.dst} exists: choose another name or give --force')
    content = checkpoint.read_checkpoint(args.src)
    try:
        converted = getattr(checkpoint, f'to_{args.to}')(content, args.branch, args.heads)
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(f'{args.src}: {error}') from None
    check_writable(args.dst, args.src)
    checkpoint.write_checkpoint(converted, args.dst)
    say(f'{args.src} -> {args.dst} ({args.to}): {summary(converted)}')


def summary(converted: dict) -> str:
    """Describe what a converted checkpoint holds."""
    states = {key: converted[key] for key in ('state_dict', 'student', 'teacher') if key in converted}
    return ', '.join(f'{key} {len(state)} tensors' for key, state in (states or {'backbone': converted}).items())


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(convert, parse_args(argv), mmengine=False)
