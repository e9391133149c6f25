"""Show what a model learned on images (clusters, colors, similarities, objects) or a mask followed through a video.

Everything stands beside the same for random weights of the same network, and on one page for a browser.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import say

from .. import command_line, model_options
from ..names import distinct_names
from ..parser import Parser

if TYPE_CHECKING:
    from flsl_mm.evaluation.features import FeatureExtractor

EPILOG = """examples:
  flsl-mm visualize first_look my_images/ --out page
  flsl-mm visualize FILE a.jpg b.png --out page --point 120,80 --point 300,200
  flsl-mm visualize FILE FOLDER --out page --against OTHER_FILE --show clusters colors
  flsl-mm visualize FILE FOLDER_OF_FRAMES --mask FIRST_MASK.png --out page

FILE is any checkpoint of docs/weights.md. How to read the images: on the page itself, and docs/visualization.md
"""

KINDS = ('clusters', 'colors', 'similarity', 'layers', 'object')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('file', metavar='FILE', help='checkpoint, or timm:NAME=FILE')
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='image files, or folders of them')
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER', help='where to; open its index.html')
    parser.add_argument('--against', metavar='FILE2', help='checkpoint to stand beside it (default: random weights)')
    parser.add_argument(
        '--mask', type=Path, metavar='PNG', help='objects of the first frame: the images are the frames of a video'
    )
    parser.add_argument('--show', nargs='+', choices=KINDS, default=KINDS, help='kinds of images (default: all)')
    parser.add_argument(
        '--point',
        action='append',
        default=[],
        type=point,
        metavar='X,Y',
        help='pixel to compare all patches with, from the upper left corner of the image; may be given several times '
        '(default: the centers of the largest clusters)',
    )
    parser.add_argument(
        '--scales', nargs='+', type=scale, default=[10.0, 20.0, 40.0], help='of the mean shift (default: 10 20 40)'
    )
    parser.add_argument(
        '--long-side',
        type=model_options.positive,
        metavar='PIXELS',
        help='most pixels of the longer side for the network (default: 32 patches, 48 of a video)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the random weights (default: 0)')
    model_options.add_model_options(parser)
    return parser.parse_args(argv)


def point(text: str) -> tuple[int, int]:
    """Read ``X,Y``."""
    x, _, y = text.partition(',')
    if not (x.strip().isdecimal() and y.strip().isdecimal()):
        raise argparse.ArgumentTypeError(f'{text!r} is not a pixel such as 120,80')
    return int(x), int(y)


def scale(text: str) -> float:
    """Read a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
    return value


def list_images(given: list[Path]) -> list[Path]:
    """List the image files that are meant, those of folders sorted, each once.

    Raises:
        FileNotFoundError: If there is no such file or folder, or no image in a folder.
    """
    from flsl_mm.datasets.folder import find_images

    found, logger = [], model_options.console_logger()
    for path in given:
        if not path.exists():
            raise FileNotFoundError(f'no image or folder {printable(path)}')
        if path.is_dir():
            found += find_images(path, advice='name image files or a folder of them', logger=logger)
        else:
            found.append(os.path.abspath(path))
    return [Path(path) for path in dict.fromkeys(found)]


def load_models(args: argparse.Namespace, device: str) -> list[FeatureExtractor]:
    """Load the model, and what stands beside it."""
    from flsl_mm.evaluation.probes.sources import random_weights
    from flsl_mm.evaluation.probes.table import NO_MODELS

    model = model_options.load_model_from_args(args, args.file, device)
    if args.against is None:
        (model.name,) = distinct_names([model.name], [args.file], NO_MODELS)
        return [model, random_weights(model.spec, args.seed).to(device)]
    if os.path.abspath(args.file) == os.path.abspath(args.against):
        raise ValueError(f'--against {args.against} is the file itself: leave it out to compare with random weights')
    other = model_options.load_model_from_args(args, args.against, device)
    model.name, other.name = distinct_names([model.name, other.name], [args.file, args.against], NO_MODELS)
    return [model, other]


def describe_models(models: list[FeatureExtractor], files: tuple[str, str | None]) -> list[str]:
    """Say on the page what made the images."""
    lines = []
    for model, file in zip(models, files, strict=True):
        spec = model.spec
        shape = f'{spec.embed_dim} channels, {spec.depth} blocks, patches of {spec.patch_size} pixels'
        lines.append(f'{model.name}: {shape}; {file or "the same network before any training, to compare with"}')
    return lines


def visualize(args: argparse.Namespace) -> None:
    """Find the images, load the models, draw, and say where the page is."""
    from flsl_mm.datasets.value_range import using_range

    from .images import PAGE, Settings, draw_images, prepare_folder

    prepare_folder(args.out)
    paths = list_images(args.images)
    if args.mask and not args.mask.is_file():
        raise FileNotFoundError(f'no mask {printable(args.mask)}')
    models = load_models(args, model_options.resolve_device(args.device))
    facts = describe_models(models, (args.file, args.against))
    with using_range(models[0].value_range):
        if args.mask:
            from .video import draw_video

            skipped = draw_video(models, paths, args.mask, args.out, args.long_side, facts)
        else:
            kinds = [kind for kind in KINDS if kind in args.show]
            settings = Settings(kinds, args.scales, args.point, args.long_side)
            skipped = draw_images(models, paths, args.out, settings, facts)
    model_options.report_skipped(skipped, f': all are listed on {args.out / PAGE}')
    say(f'{len(paths) - len(skipped)} images: open {args.out / PAGE}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(visualize, parse_args(argv), mmengine=False)
