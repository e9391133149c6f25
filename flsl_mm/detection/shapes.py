"""Checking the shapes in COCO annotations, before compiled code trusts them with memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_PIXELS = 2**28
"""Pixels that an image may claim to have; masks are drawn at its size."""


def check_shapes(content: Mapping[str, Any]) -> None:
    """Check that masks and boxes lie at their images; pycocotools writes beyond its memory otherwise.

    Polygons and boxes may stick out by an image's size on each side, and are cut there later.

    Args:
        content: Content of a COCO annotation file, with ``images`` and ``annotations``.

    Raises:
        ValueError: With the id of the first annotation, or image, that is wrong.
    """
    sizes = {}
    for image in content['images']:
        height, width = image.get('height'), image.get('width')
        if not all(type(side) is int and side > 0 for side in (height, width)) or height * width > MAX_PIXELS:
            raise ValueError(f'image {image.get("id")!r} has the size {width!r}x{height!r}')
        sizes[image['id']] = height, width
    for annotation in content['annotations']:
        size_hw = sizes.get(annotation.get('image_id'))
        if size_hw is None:
            raise ValueError(
                f'annotation {annotation.get("id")!r} is of an unknown image: {annotation.get("image_id")!r}'
            )
        if problem := _problem(annotation, *size_hw):
            raise ValueError(f'annotation {annotation.get("id")!r} of image {annotation["image_id"]!r} has {problem}')


def _problem(annotation: Mapping[str, Any], height: int, width: int) -> str | None:
    """Describe what is wrong with an annotation of an image of that size; None if nothing is."""
    box = annotation.get('bbox')
    if box is not None:
        if not _are_numbers(box) or len(box) != 4:
            return f'a bbox that is not four numbers: {_shown(box)}'
        left, top, across, down = box
        if not _inside([left, top, left + across, top + down], height, width):
            return f'a bbox far outside its image of {width}x{height}: {_shown(box)}'
    shape = annotation.get('segmentation')
    if isinstance(shape, Mapping):
        return _run_length_problem(shape, height, width)
    for polygon in shape or ():
        if not _are_numbers(polygon) or len(polygon) < 6 or len(polygon) % 2:
            return f'a polygon that is not three or more points: {_shown(polygon)}'
        if not _inside(polygon, height, width):
            return f'a polygon far outside its image of {width}x{height}: {_shown(polygon)}'
    return None


def _run_length_problem(shape: Mapping[str, Any], height: int, width: int) -> str | None:
    counts = shape.get('counts')
    if shape.get('size') != [height, width]:
        return f'a mask of size {_shown(shape.get("size"))} for an image of height {height} and width {width}'
    if isinstance(counts, str):
        return None if _total(counts) == height * width else 'a mask whose runs do not add up to its image'
    if not _are_numbers(counts) or not all(type(count) is int and count >= 0 for count in counts):
        return 'a mask without runs'
    return None if sum(counts) == height * width else 'a mask whose runs do not add up to its image'


def _total(counts: str) -> int | None:
    """Add up the runs of COCO's compressed text, as pycocotools reads it; None if it is none."""
    runs, value, shift = [], 0, 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) * bool(bits & 16)
            # From the fourth on, runs are written as what they differ from the last but one.
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return sum(runs) if not shift and all(run >= 0 for run in runs) else None


def _inside(numbers: Sequence[float], height: int, width: int) -> bool:
    """Return whether x and y, in turn, are no further from an image than its size."""
    across, down = numbers[::2], numbers[1::2]
    return min(across) >= -width and max(across) <= 2 * width and min(down) >= -height and max(down) <= 2 * height


def _are_numbers(values: Any) -> bool:
    """Return whether a value is a list of finite numbers; COCO's training set has 40 million, hence no loop."""
    return isinstance(values, list) and set(map(type, values)) <= {int, float} and -1e300 < sum(values) < 1e300


def _shown(value: Any) -> str:
    """Show a value in few characters."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= 60 else f'{text[:60].rpartition(" ")[0]} ...'
