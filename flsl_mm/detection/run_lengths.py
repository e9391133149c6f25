"""Run-length masks of COCO files: whether they are right, and what they bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


def run_length_problem(shape: Mapping[str, Any], height: int, width: int) -> str | None:
    """Describe what is wrong with the mask of an image of that size; None if nothing is."""
    size, counts = shape.get('size'), shape.get('counts')
    if size != [height, width]:
        return f'a mask of size {repr(size)[:60]} for an image of height {height} and width {width}'
    if isinstance(counts, str):
        return None if _total(counts) == height * width else 'a mask whose runs do not add up to its image'
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        return 'a mask without runs'
    return None if sum(counts) == height * width else 'a mask whose runs do not add up to its image'


def run_length_bounds(shapes: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Bound masks, compressed or not, in which :func:`run_length_problem` finds nothing wrong.

    Args:
        shapes: N masks.

    Returns:
        Least x and y, and greatest x and y, at the outer edges of the pixels (N, 4); NaN where a mask is empty.
    """
    packed = [
        shape if isinstance(shape['counts'], str) else coco_mask.frPyObjects(dict(shape), *shape['size'])
        for shape in shapes
    ]
    boxes = np.asarray(coco_mask.toBbox(packed) if packed else (), dtype=float).reshape(-1, 4)
    bounds = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    bounds[boxes[:, 2] == 0] = np.nan
    return bounds


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
