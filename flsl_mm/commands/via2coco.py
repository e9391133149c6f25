"""Convert annotations of VIA (VGG Image Annotator 1 and 2) to COCO's format, for training and for validation."""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from flsl_mm.utils.terminal import say

from . import command_line
from .parser import Parser

EPILOG = """\
FILE is a project (via_project.json) or exported annotations (via_region_data.json). Of one file, every fifth image is
for validation; of two, the images of the second. The class of a region is its attribute: text, dropdown, radio, or
one box that is checked. Boxes, polygons, circles, ellipses and closed polylines become polygons.
DIR receives instances_train.json and instances_val.json, both of them or, after an error, none.

examples:
  flsl-mm via2coco data/mine/via_project.json
  flsl-mm via2coco balloon/train/via_region_data.json balloon/val/via_region_data.json --class-name balloon
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument(
        'files', type=Path, nargs='+', metavar='FILE', help='JSON or CSV file of VIA, or two, see below'
    )
    parser.add_argument(
        '--images', type=Path, metavar='FOLDER', help='folder of the images (default: beside each file)'
    )
    parser.add_argument('--attribute', metavar='NAME', help='region attribute of the class, where there are several')
    parser.add_argument('--class-name', metavar='NAME', help='take all regions for this class')
    parser.add_argument(
        '--val-every', type=int, default=5, metavar='N', help='of one file, validate on each Nth image (default: 5)'
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder to write to (default: annotations/ in the folder of the files)'
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args(argv)


def read(path: Path) -> list[dict]:
    """Read the images and regions of a file."""
    from .via import via_images, via_table

    try:
        text = path.read_text(encoding='utf-8-sig')
        return via_images(via_table(text) if path.suffix.lower() == '.csv' else json.loads(text))
    except (RecursionError, ValueError, csv.Error) as error:
        raise ValueError(f'{path} cannot be used: {error}') from error


def images_of(path: Path, images: list[dict]) -> Path:
    """Find the folder of a file's images: that of the file, or images/ in it."""
    inside = path.parent / 'images'
    return inside if (inside / images[0]['filename']).is_file() else path.parent


def halves(args: argparse.Namespace) -> dict[str, tuple[Path, list[dict]]]:
    """Read the files, and give folder and images of training and of validation."""
    found = [read(path) for path in args.files]
    folders = [args.images or images_of(path, images) for path, images in zip(args.files, found, strict=True)]
    if len(found) == 1:
        (images,), every = found, args.val_every
        if len(images) < every:
            raise ValueError(f'{args.files[0]} has {len(images)} images, not {every}: set --val-every to 2 or more')
        found = [
            [image for place, image in enumerate(images, 1) if (place % every == 0) == val] for val in (False, True)
        ]
        folders *= 2
    return dict(zip(('train', 'val'), zip(folders, found, strict=True), strict=True))


def convert(args: argparse.Namespace) -> None:
    """Convert as the command line says."""
    from flsl_mm.utils.fileio import atomic_writer

    from .via import coco_of_via, find_attribute, find_classes, image_size

    if len(args.files) > 2:
        raise ValueError(f'give one file of VIA, or two, for training and for validation; got {len(args.files)}')
    if args.val_every < 2:
        raise ValueError(f'--val-every must be 2 or more, got {args.val_every}')
    if args.attribute and args.class_name:
        raise ValueError('give --attribute or --class-name, not both')
    parts = halves(args)
    every = [image for _, images in parts.values() for image in images]
    attribute = None if args.class_name else args.attribute or find_attribute(every)
    classes = find_classes(every, attribute) if attribute else [args.class_name]
    contents = {}
    for split, (folder, images) in parts.items():
        sizes_hw = [image_size(folder / image['filename']) for image in images]
        contents[split] = coco_of_via(images, sizes_hw, classes, attribute)
    out = args.out or Path(os.path.commonpath([path.parent.absolute() for path in args.files])) / 'annotations'
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for split, content in contents.items():
            json.dump(content, stack.enter_context(atomic_writer(out / f'instances_{split}.json', 'w')))
    report(out, classes, {split: (parts[split][0], content) for split, content in contents.items()})


def report(out: Path, classes: list[str], parts: dict[str, tuple[Path, dict]]) -> None:
    """Print what was found, and what a config says of it."""
    for split, (_, content) in parts.items():
        counts = Counter(classes[annotation['category_id'] - 1] for annotation in content['annotations'])
        found = ', '.join(f'{name} {counts[name]}' for name in classes)
        say(f'{out / f"instances_{split}.json"}: {len(content["images"])} images; {found}')
    root = os.path.commonpath([out.absolute(), *(folder.absolute() for folder, _ in parts.values())])
    say('in the config:', f'classes = {tuple(classes)!r}', f'data_root = {os.path.relpath(root) + "/"!r}')
    for split, (folder, _) in parts.items():
        prefix = os.path.relpath(folder, root)
        file = os.path.relpath(out / f'instances_{split}.json', root)
        say(f'{split}: ann_file={file!r}, data_prefix=dict(img={"" if prefix == "." else prefix + "/"!r})')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(convert, parse_args(argv))
