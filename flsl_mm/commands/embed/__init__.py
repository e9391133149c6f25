"""Embed every image of a folder: the mean of its patch features and, if wanted, all of them; show neighbors."""

from __future__ import annotations

import argparse
from pathlib import Path

from flsl_mm.utils.terminal import say

from .. import command_line, model_options
from ..parser import Parser

EPILOG = """examples:
  flsl-mm embed FILE IMAGES --out images.npz
  flsl-mm embed FILE IMAGES --out images.npz --patches         also images_patches.npy, float16
  flsl-mm embed FILE IMAGES --out images.npz --knn cat.jpg     images_knn.png: what is most like cat.jpg

After an interruption the same command continues where it was. FILE is any checkpoint of docs/weights.md. How to read
the files: docs/using.md
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('file', metavar='FILE', help='checkpoint, or timm:NAME=FILE')
    parser.add_argument('folder', metavar='FOLDER', type=Path, help='images, flat or nested')
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        help='file to write: .npz, or .parquet (needs pyarrow)',
    )
    parser.add_argument('--patches', action='store_true', help='keep the features of all patches too: OUT_patches.npy')
    parser.add_argument(
        '--size', type=model_options.positive, default=224, help='most pixels of the shorter side (default: 224)'
    )
    parser.add_argument('--knn', nargs='+', type=Path, metavar='IMAGE', help='images whose neighbors are shown')
    parser.add_argument('--k', type=model_options.positive, default=8, help='number of neighbors (default: 8)')
    parser.add_argument('--sheet', type=Path, metavar='PNG', help='the sheet of --knn (default: OUT_knn.png)')
    parser.add_argument('--force', action='store_true', help='overwrite what is there')
    model_options.add_model_options(parser)
    args = parser.parse_args(argv)
    return args


def check_sheet(args: argparse.Namespace) -> None:
    """Raise ValueError or FileExistsError if the sheet of neighbors would replace something else.

    One beside embeddings that are there, under the name that belongs to them, is that of an earlier question.
    """
    from .table import patch_file

    own = args.out.with_name(f'{args.out.stem}_knn.png')
    expected = args.sheet is None and args.out.exists()
    args.sheet = args.sheet or own
    if args.sheet.resolve() in (args.out.resolve(), patch_file(args.out).resolve()):
        raise ValueError(f'{args.sheet} is another file of --out: name the sheet otherwise')
    if args.sheet.exists() and args.folder.resolve() in args.sheet.resolve().parents:
        raise ValueError(f'{args.sheet} is among the images: name the sheet otherwise')
    if args.sheet.exists() and not (expected or args.force):
        raise FileExistsError(f'{args.sheet} exists: name the sheet otherwise or remove it')


def embed(args: argparse.Namespace) -> None:
    """Embed, and show neighbors."""
    from .folder import embed as embed_folder
    from .table import check_format, patch_file

    check_format(args.out)
    for image in args.knn or ():
        if not image.is_file():
            raise FileNotFoundError(f'no image {image} to find neighbors of')
    if args.knn:
        check_sheet(args)
    for path in (args.out, *([args.sheet] if args.knn else [])):
        model_options.check_writable(path, args.file, *(args.knn or ()))
    model = model_options.load_model_from_args(args, args.file, model_options.resolve_device(args.device))
    was_there = args.out.exists() and not args.force
    logger = model_options.console_logger()
    embeddings = embed_folder(model, args.folder, args.out, args.size, args.patches, args.force, logger=logger)
    model_options.report_skipped(embeddings.skipped, f": all are listed in {args.out} ('skipped')")
    verb = 'is complete:' if was_there else 'written:'
    say(f'{args.out} {verb} {len(embeddings.paths)} images, {embeddings.mean.shape[1]} channels')
    if args.patches:
        say(f'{patch_file(args.out)}: {int(embeddings.grid_hw.prod(1).sum())} patches, float16')
    if args.knn:
        show_neighbors(args, model, embeddings)


def show_neighbors(args: argparse.Namespace, model, embeddings) -> None:
    """Write the sheet of neighbors, and print it in words."""
    from flsl_mm.datasets.value_range import using_range
    from flsl_mm.evaluation.probes.images import feature_maps, fitted

    from .neighbors import draw_neighbors, nearest

    skipped: dict[str, str] = {}
    maps = feature_maps(model, args.knn, lambda path: fitted(path, args.size, model.patch_size), skipped)
    found = []
    for index, features in maps:
        query = args.knn[index]
        found.append((query, nearest(embeddings, features.mean((0, 1)).cpu().numpy(), args.k, without=query)))
    model_options.report_skipped(skipped)
    if not found:
        raise ValueError('none of the images of --knn can be read')
    title = f'Most similar of {len(embeddings.paths)} images by the mean feature of {model.name}'
    with using_range(model.value_range):
        draw_neighbors(embeddings, found, title, args.sheet)
    for query, neighbors in found:
        if neighbors:
            index, cosine = neighbors[0]
            say(f'{query}: nearest is {embeddings.paths[index]} (cosine {cosine:.3f})')
    say(f'neighbors: {args.sheet}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(embed, parse_args(argv), mmengine=False)
