"""Times the UAVDT converter on a generated tree as large as the download: 40,000 frames with 800,000 boxes.

The tree is text files with random boxes and ignore regions, and one small picture under as many names as there are
frames (hard links), since the converter reads no more of a picture than its size. The converter runs as a program of
its own. Its time must stay below 60 s and its memory below 2 GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
from PIL import Image
from tqdm import tqdm

from flsl_mm.uavdt.sequences import UAVDT_SEQUENCES

CONVERTER = measure.ROOT / 'tools' / 'dataset_converters' / 'uavdt2coco.py'
SIZE = (1024, 540)
MUST_REACH = dict(seconds=60.0, gb=2.0)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, default=800, help='frames of each of the 50 sequences (default: 800)')
    parser.add_argument('--boxes', type=int, default=20, help='boxes of a frame (default: 20)')
    parser.add_argument('--regions', type=int, default=2, help='ignore regions of a frame (default: 2)')
    parser.add_argument('--workers', type=int, default=2, help='processes of the converter (default: 2)')
    measure.add_options(parser, repeats=1)
    return parser


def write_truth(path: Path, frames: int, boxes: int, last_columns: int, generator: np.random.Generator) -> None:
    """Write a file of boxes as the benchmark's toolkit has them: frame, target, left, top, width, height, ..."""
    rows = np.ones((frames * boxes, 6 + last_columns), dtype=np.int64)
    rows[:, 0] = np.repeat(np.arange(1, frames + 1), boxes)
    rows[:, 1] = np.tile(np.arange(1, boxes + 1), frames)
    rows[:, 2:4] = generator.integers(0, (SIZE[0] - 50, SIZE[1] - 50), (len(rows), 2))
    rows[:, 4:6] = generator.integers(5, 50, (len(rows), 2))
    rows[:, 6:] = generator.integers(1, 4, (len(rows), last_columns))
    np.savetxt(path, rows, fmt='%d', delimiter=',')


def write_tree(root: Path, args: argparse.Namespace) -> None:
    """Write a tree in the layout of the download."""
    truth = root / 'UAV-benchmark-MOTD_v1.0' / 'GT'
    truth.mkdir(parents=True)
    picture = root / 'picture.jpg'
    Image.new('RGB', SIZE).save(picture)
    for number, name in enumerate(
        tqdm(sum(UAVDT_SEQUENCES.values(), ()), desc='writing sequences', leave=False, disable=None)
    ):
        folder = root / 'UAV-benchmark-M' / name
        folder.mkdir(parents=True)
        for frame in range(1, args.frames + 1):
            os.link(picture, folder / f'img{frame:06}.jpg')
        generator = np.random.default_rng(number)
        write_truth(truth / f'{name}_gt_whole.txt', args.frames, args.boxes, 3, generator)
        write_truth(truth / f'{name}_gt_ignore.txt', args.frames, args.regions, 3, generator)


def run(args: argparse.Namespace) -> dict:
    """Write the tree, convert it and print."""
    if min(args.frames, args.boxes, args.regions, args.workers) < 1:
        raise ValueError('--frames, --boxes, --regions and --workers must be at least 1')
    with tempfile.TemporaryDirectory(prefix='flsl_uavdt_') as folder:
        root = Path(folder) / 'tree'
        write_tree(root, args)
        command = [sys.executable, str(CONVERTER), str(root), '--out', f'{folder}/out', '--workers', str(args.workers)]

        def convert() -> None:
            if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                raise ValueError(f'the converter failed: {" ".join(command)}')

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = measure.in_turns(dict(convert=convert), args.repeats, warmup=0)['convert']
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        megabytes = sum(file.stat().st_size for file in Path(folder, 'out').glob('*.json')) / 1e6
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    numbers = dict(
        seconds=sorted(seconds)[len(seconds) // 2],
        processor_seconds=processor / args.repeats,
        largest_process_gb=after.ru_maxrss / 2**20,
        json_mb=megabytes,
        frames=50 * args.frames,
        boxes=50 * args.frames * args.boxes,
        ignore_regions=50 * args.frames * args.regions,
    )
    report(numbers)
    return numbers


def report(numbers: dict) -> None:
    """Print the numbers."""
    reached = numbers['seconds'] <= MUST_REACH['seconds'] and numbers['largest_process_gb'] <= MUST_REACH['gb']
    print(
        f'{numbers["frames"]:,} frames, {numbers["boxes"]:,} boxes, {numbers["ignore_regions"]:,} ignore regions\n'
        f'converter       {numbers["seconds"]:.1f} s, {numbers["processor_seconds"]:.1f} s of processor time '
        f'(must be <= {MUST_REACH["seconds"]:.0f})\n'
        f'largest process {numbers["largest_process_gb"]:.2f} GB (must be <= {MUST_REACH["gb"]:.0f}): '
        f'{"reached" if reached else "not reached"}\n'
        f'JSON files      {numbers["json_mb"]:.0f} MB'
    )


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
