"""Write procedural scenes to the disk in a real data set's layout, to try everything out without a download."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from flsl_mm.utils.terminal import say

from . import command_line
from .parser import Parser


class Layout(NamedTuple):
    """The defaults of a layout's options, and how its tree is used."""

    num: int
    size_hw: tuple[int, int]
    frames: int
    usage: str


LAYOUTS = {
    'images': Layout(
        1000,
        (256, 256),
        1,
        'flsl-mm train pretrain/flsl_vit-s16 --cfg-options train_dataloader.dataset.data_root={out}/train',
    ),
    'coco': Layout(
        250,
        (256, 256),
        1,
        'SCENES_ROOT={out} flsl-mm train det/mask-rcnn_flsl-vit-t16_fpn_scenes',
    ),
    'uavdt': Layout(
        240,
        (160, 288),
        4,
        'flsl-mm uavdt2coco {out} --out {out}/annotations && '
        'UAVDT_SCENES_ROOT={out} flsl-mm train det/mask-rcnn_flsl-vit-t16_fpn_uavdt-scenes',
    ),
    'davis': Layout(
        8,
        (240, 432),
        25,
        'flsl-mm test configs/vos/flsl_vit-t16_scenes.py CHECKPOINT '
        '--cfg-options test_dataloader.dataset.data_root={out}',
    ),
    'segmentation': Layout(
        250,
        (192, 192),
        1,
        'flsl-mm evaluate CHECKPOINT --segmentation {out} --num-classes 7',
    ),
}
MAX_PIXELS = 2**24
"""Pixels of a scene; each of its objects takes as many again."""

EPILOG = """\
layouts:
  images  train/, val/: images in sub-folders, for pretraining
  coco    train/, val/, annotations/instances_{train,val}.json: objects with masks, for detection
  uavdt   the official UAVDT download: --num sequences of objects as car, truck and bus, ignore regions, attributes
  davis   the official DAVIS-2017 download: --num videos of several objects, some of which leave and return
  segmentation  images/{train,val}, annotations/{train,val}: masks of classes, 0 is the background

The same options give the same bytes (with the same versions of NumPy, OpenCV, Pillow and torchvision).
OUT is written atomically.
"""


def size(text: str) -> tuple[int, int]:
    """Read a size as HEIGHTxWIDTH in pixels."""
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not HEIGHTxWIDTH, such as 240x432')
    height, width = int(match[1]), int(match[2])
    if height * width > MAX_PIXELS:
        raise argparse.ArgumentTypeError(f'{text} has more than {MAX_PIXELS:,} pixels')
    return height, width


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('out', type=Path, metavar='OUT', help='folder to write')
    parser.add_argument('--layout', required=True, choices=list(LAYOUTS), help='see below')
    numbers = ', '.join(f'{name} {item.num}' for name, item in LAYOUTS.items())
    parser.add_argument('--num', type=int, help=f'images, videos or sequences in all (default: {numbers})')
    parser.add_argument('--seed', type=int, default=0, help='seed, 0 or more (default: 0)')
    sizes = ', '.join(f'{name} {item.size_hw[0]}x{item.size_hw[1]}' for name, item in LAYOUTS.items())
    parser.add_argument('--size', type=size, metavar='HxW', help=f'height and width in pixels (default: {sizes})')
    parser.add_argument('--frames', type=int, help='frames of a video (default: uavdt 4, davis 25)')
    parser.add_argument('--val-fraction', type=float, default=0.25, help='share of val, or uavdt: test (default: 0.25)')
    parser.add_argument(
        '--img1', action='store_true', help='uavdt: put the frames into a folder img1, as some copies do'
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if an earlier run of this program wrote it')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args(argv)


def make_scenes(args: argparse.Namespace) -> None:
    """Write the tree and say what it holds and how it is used."""
    # Here, so that --help does not wait for torch.
    from flsl_mm.scenes.output import PREVIEW, TreeRequest
    from flsl_mm.scenes.writers import write_scenes

    layout = LAYOUTS[args.layout]
    request = TreeRequest(
        num=layout.num if args.num is None else args.num,
        seed=args.seed,
        size_hw=args.size or layout.size_hw,
        frames=layout.frames if args.frames is None else args.frames,
        val_fraction=args.val_fraction,
        image_folder=args.img1,
        progress=True,
    )
    lines = write_scenes(args.out, args.layout, request, args.force)
    say(f'wrote {args.out} ({args.layout})', *(f'  {line}' for line in lines))
    say(f'preview: {args.out / PREVIEW}')
    say(f'use it:     {layout.usage.format(out=args.out)}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(make_scenes, parse_args(argv), mmengine=False)
