"""Read COCO annotation files; structure and shapes are checked before mmdet and compiled code use them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from os.path import normpath
from pathlib import Path
from typing import Any

import numpy as np

from .run_lengths import run_length_bounds, run_length_problem

REQUIRED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
    'categories': ('id', 'name'),
}
"""Entries of a file, and what mmdet reads of each; ``iscrowd`` and ``segmentation`` may be missing."""

MAX_NUMBER = 1e15

MAX_PIXELS = 2**28
"""Pixels that an image may claim to have; masks are drawn at its size."""

MAX_IMAGES_COVERED = 9
"""Area that an object may claim to have, in areas of its image, out of which it may stick on each side."""


@dataclass(frozen=True)
class Annotations:
    """A COCO file, with the numbers of its N annotations as arrays.

    Attributes:
        path: The file.
        content: ``images``, ``annotations`` and ``categories``, as mmdet and pycocotools read them.
        boxes: x, y, width and height (N, 4).
        bounds: Least x and y and greatest x and y of the outlines, polygons or masks (N, 4); NaN where there are none.
        image_hw: Height and width of the image (N, 2).
        orphans: Number of annotations left out because the file does not list their image.
        short_parts: Number of polygons left out because they have fewer than three points.
    """

    path: str
    content: dict
    boxes: np.ndarray
    bounds: np.ndarray
    image_hw: np.ndarray
    orphans: int
    short_parts: int


def read_annotations(path: str | Path) -> Annotations:
    """Read a COCO annotation file.

    A byte order mark, whole numbers written as 640.0, a missing list of annotations (files for testing), annotations
    of images that are not listed, polygons of one or two points, and unused categories with the name of another one
    are taken as mmdet takes them, or left out.

    Raises:
        ValueError: If the file is anything else, an entry lacks what mmdet reads of it, or a mask or box in it is none,
            see :func:`check_entries` and :func:`check_shapes`.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            content = json.load(file)
        if not isinstance(content, dict):
            raise ValueError(f'it holds a {type(content).__name__}')
        content.setdefault('annotations', [])
        check_entries(content)
        orphans, short_parts = tidy(content)
        boxes, bounds, image_hw = check_shapes(content)
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is not a COCO annotation file: {error}') from error
    return Annotations(str(path), content, boxes, bounds, image_hw, orphans, short_parts)


def check_entries(content: Mapping[str, Any]) -> None:
    """Check that images, annotations and categories have their keys, ids of their own and boxes of four numbers.

    Raises:
        ValueError: With place and id of the first entry that is wrong.
    """
    for part, keys in REQUIRED.items():
        if not isinstance(content.get(part), list):
            raise ValueError(f'it has no list of {part}')
        if part == 'images' and not content[part]:
            raise ValueError('its list of images is empty')
        seen, files = set(), set()
        for place, entry in enumerate(content[part]):
            problem = entry_problem(entry, keys)
            if problem is None and entry['id'] in seen:
                problem = 'has the id of an earlier one'
            if problem is None and part == 'images':
                if (file := normpath(entry['file_name'])) in files:
                    problem = f'has the file_name of an earlier one, {entry["file_name"]!r}'
                files.add(file)
            if problem is None and part == 'annotations' and entry.get('iscrowd', 0) not in (0, 1, None):
                problem = f'has neither 0 nor 1 as iscrowd: {repr(entry["iscrowd"])[:60]}'
            if problem:
                name = f' (id {entry["id"]!r})' if isinstance(entry, Mapping) and 'id' in entry else ''
                raise ValueError(f'{part}[{place}]{name} {problem}')
            seen.add(entry['id'])


def entry_problem(entry: Any, keys: tuple[str, ...]) -> str | None:
    """Describe what is wrong with an entry; None if nothing is."""
    if not isinstance(entry, Mapping):
        return f'is a {type(entry).__name__}, not an object'
    for key in keys:
        if key not in entry:
            return f'lacks {", ".join(key for key in keys if key not in entry)}'
        value = entry[key]
        if key == 'bbox':
            if not (isinstance(value, list) and len(value) == 4 and all(map(is_number, value))):
                return f'has a bbox that is not four numbers: {repr(value)[:60]}'
        elif key in ('file_name', 'name'):
            if not isinstance(value, str):
                return f'has no text as {key}: {repr(value)[:60]}'
        elif key in ('height', 'width', 'area'):
            if not is_number(value):
                return f'has no number as {key}: {repr(value)[:60]}'
        elif not isinstance(value, int | str):
            return f'has neither a number nor text as {key}: {repr(value)[:60]}'
    return None


def is_number(value: Any) -> bool:
    """Return whether a value of a JSON file is a number that pixels can be counted with: no NaN, no infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER < value < MAX_NUMBER


def tidy(content: dict) -> tuple[int, int]:
    """Bring the content of a file, whose entries are checked, to what mmdet and pycocotools make of it, in place.

    Returns:
        Number of annotations of images that are not listed, and of polygons of fewer than three points, both left out.

    Raises:
        ValueError: If ids are text in one list and numbers in another.
    """
    for image in content['images']:
        for side in ('height', 'width'):
            if isinstance(image[side], float) and image[side].is_integer():
                image[side] = int(image[side])
    images = {image['id'] for image in content['images']}
    kept = [annotation for annotation in content['annotations'] if annotation['image_id'] in images]
    orphans = len(content['annotations']) - len(kept)
    if orphans and not kept:
        first, image = content['annotations'][0]['image_id'], content['images'][0]['id']
        alike = ': write both as numbers' if type(first) is not type(image) else ''
        raise ValueError(
            f'no annotation is of an image that it lists: image_id {first!r}, ids such as {image!r}{alike}'
        )
    short_parts = 0
    for annotation in kept:
        parts = annotation.get('segmentation')
        if isinstance(parts, list):
            long_parts = [part for part in parts if not (isinstance(part, list) and len(part) in (0, 2, 4))]
            short_parts += len(parts) - len(long_parts)
            annotation['segmentation'] = long_parts
        elif parts is None:
            annotation.pop('segmentation', None)
        if annotation.get('iscrowd', 0) is None:
            annotation['iscrowd'] = 0
    content['annotations'] = kept
    content['categories'] = _without_unused_namesakes(content)
    return orphans, short_parts


def _without_unused_namesakes(content: Mapping[str, Any]) -> list[dict]:
    """List the categories without unused ones that share the name of another (Roboflow writes such)."""
    used = {annotation['category_id'] for annotation in content['annotations']}
    last = {category['name']: category['id'] for category in content['categories']}
    used_names = {category['name'] for category in content['categories'] if category['id'] in used}
    return [
        category
        for category in content['categories']
        if category['id'] in used or (category['name'] not in used_names and category['id'] == last[category['name']])
    ]


def check_shapes(content: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check areas, and that masks and boxes lie at their images; pycocotools writes beyond its memory otherwise.

    Polygons and boxes may stick out by an image's size on each side, and are cut there later.

    Args:
        content: Content of a COCO annotation file, with ``images`` and ``annotations``.

    Returns:
        ``boxes``, ``bounds`` and ``image_hw`` of :class:`Annotations`.

    Raises:
        ValueError: With the id of the first annotation, or image, that is wrong.
    """
    sizes = {}
    for image in content['images']:
        height, width = image.get('height'), image.get('width')
        if not all(type(side) is int and side > 0 for side in (height, width)) or height * width > MAX_PIXELS:
            raise ValueError(f'image {image.get("id")!r} has the size {width!r}x{height!r}')
        sizes[image['id']] = height, width
    annotations = content['annotations']
    for annotation in annotations:
        if problem := _shape_problem(annotation, sizes[annotation['image_id']]):
            raise ValueError(f'{_named(annotation)} has {problem}')
    image_hw = _rows(2, (sizes[annotation['image_id']] for annotation in annotations))
    boxes = _rows(4, (annotation['bbox'] for annotation in annotations))
    outlines = [annotation.get('segmentation') for annotation in annotations]
    bounds = polygon_bounds(outlines)
    masks = [row for row, outline in enumerate(outlines) if isinstance(outline, Mapping)]
    bounds[masks] = run_length_bounds([outlines[row] for row in masks])
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    limits = np.concatenate([image_hw[:, ::-1]] * 2, axis=1)
    for name, edges in (('bbox', corners), ('polygon', bounds)):
        low, high = np.minimum(edges[:, :2], edges[:, 2:]), np.maximum(edges[:, :2], edges[:, 2:])
        outside = ((low < -limits[:, :2]) | (high > 2 * limits[:, 2:])).any(axis=1)
        if outside.any():
            annotation = annotations[int(outside.argmax())]
            height, width = sizes[annotation['image_id']]
            shape = annotation['bbox' if name == 'bbox' else 'segmentation']
            raise ValueError(
                f'{_named(annotation)} has a {name} far outside its image of {width}x{height}: {_shown(shape)}'
            )
    for annotation in annotations:
        area, (height, width) = annotation.get('area', 0), sizes[annotation['image_id']]
        if not 0 <= area <= MAX_IMAGES_COVERED * height * width:  # pycocotools would leave the object out
            raise ValueError(
                f'{_named(annotation)} has the area {area:g} in an image of {width}x{height}: write it in square pixels'
            )
    return boxes, bounds, image_hw


def polygon_bounds(outlines: list) -> np.ndarray:
    """Bound the polygons of outlines.

    Args:
        outlines: For each annotation a list of polygons, each [x, y, x, y, ...], or anything else.

    Returns:
        Least x and y and greatest x and y of each (N, 4); NaN where an outline has no polygon.
    """
    parts = [(row, part) for row, outline in enumerate(outlines) if isinstance(outline, list) for part in outline]
    bounds = np.full((len(outlines), 4), np.nan)
    if parts:
        points = _rows(2, (part for _, part in parts))
        ends = np.fromiter((len(part) // 2 for _, part in parts), np.int64, len(parts)).cumsum()
        rows, firsts = np.unique(np.fromiter((row for row, _ in parts), np.int64, len(parts)), return_index=True)
        starts = np.concatenate([[0], ends[:-1]])[firsts]
        bounds[rows] = np.concatenate(
            [np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)], axis=1
        )
    return bounds


def _rows(width: int, lists: Iterable) -> np.ndarray:
    """Put lists of numbers, each of a multiple of ``width``, below each other."""
    return np.fromiter(chain.from_iterable(lists), float).reshape(-1, width)


def _shape_problem(annotation: Mapping[str, Any], size_hw: tuple[int, int]) -> str | None:
    """Describe what is wrong with the outline of an annotation of an image of that size; None if nothing is."""
    shape = annotation.get('segmentation')
    if isinstance(shape, Mapping):
        return run_length_problem(shape, *size_hw)
    for polygon in shape or ():
        if not _are_numbers(polygon) or len(polygon) < 6 or len(polygon) % 2:
            return f'a polygon that is not three or more points: {_shown(polygon)}'
    return None


def _are_numbers(values: Any) -> bool:
    """Return whether a value is a list of finite numbers; COCO's training set has 40 million, hence no loop."""
    return isinstance(values, list) and set(map(type, values)) <= {int, float} and -1e300 < sum(values) < 1e300


def _named(annotation: Mapping[str, Any]) -> str:
    return f'annotation {annotation["id"]!r} of image {annotation["image_id"]!r}'


def _shown(value: Any) -> str:
    """Show a value in few characters."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= 60 else f'{text[:60].rpartition(" ")[0]} ...'


def shorten(names: Iterable, most: int = 5) -> str:
    """Join the first few names, or numbers."""
    names = list(names)
    return ', '.join(map(repr, names[:most])) + (', ...' if len(names) > most else '')
