"""Write a backbone for other programs (timm, safetensors, ONNX, torch.export) and check that it gives the same."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from flsl_mm.utils.terminal import say

from .. import command_line, model_options
from ..parser import Parser

EPILOG = """examples:
  flsl-mm export work_dirs/RUN/epoch_5_backbone.pth --to onnx
  flsl-mm export FILE --to timm --size 480x640 --out for_timm.safetensors

FILE is any checkpoint of docs/weights.md. The file is written beside it unless --out is given, and the lines that load
it are printed. What each kind can do: docs/using.md
"""

KINDS = ('timm', 'safetensors', 'onnx', 'torchexport')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('file', metavar='FILE', type=Path, help='checkpoint')
    parser.add_argument('--to', required=True, choices=KINDS, help='kind of the file')
    parser.add_argument('--out', type=Path, metavar='PATH', help='file to write (default: beside FILE)')
    parser.add_argument(
        '--size',
        type=image_hw,
        metavar='HxW',
        help='timm: images that the positions are for (default: as in the file); onnx, torchexport: the only size '
        'that the graph takes (default: any)',
    )
    parser.add_argument('--force', action='store_true', help='overwrite the file')
    model_options.add_model_options(parser)
    args = parser.parse_args(argv)
    if args.size and args.to == 'safetensors':
        parser.error('--size is for timm, onnx and torchexport: safetensors files are for any size')
    return args


def image_hw(text: str) -> tuple[int, int]:
    """Read a height and width such as 480x640, or one side of a square."""
    match = re.fullmatch(r'([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?', text)
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not a height and width in pixels such as 480x640')
    return int(match[1]), int(match[2] or match[1])


def export(args: argparse.Namespace) -> None:
    """Write the file, and say how it is used."""
    if not args.file.is_file():  # before a folder is made for what lies beside it
        raise FileNotFoundError(f'checkpoint {args.file} does not exist')
    from .targets import TARGETS, timm_at_other_size

    target = TARGETS[args.to]
    target.ready()
    out = args.out or args.file.with_name(args.file.stem + target.suffix)
    if out.exists() and not args.force:
        raise FileExistsError(f'{out} exists: choose another name or give --force')
    target.check_name(out)
    model_options.check_writable(out, args.file)
    model = model_options.load_model_from_args(args, args.file, 'cpu')
    differences = target.export(model, out, args.size)
    say(f'{out}: {target.what}')
    say(
        f'checked: differs from {args.file.name} by at most (parts of the greatest feature) '
        + ', '.join(map(str, differences))
    )
    if args.to == 'timm':
        elsewhere = timm_at_other_size(model, out, args.size)
        height, width = elsewhere.size_hw
        say(
            f'at another size timm resizes positions in a way of its own: at {height}x{width} the cosine to the '
            f'original features is {elsewhere.cosine:.5f}; export with --size {height}x{width} for the same ones'
        )
    say(*(f'  {line}' for line in target.usage(model, out, args.size)))


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(export, parse_args(argv), mmengine=False)
