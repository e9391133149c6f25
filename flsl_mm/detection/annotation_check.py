"""Check what a COCO annotation file can teach: refuse systematic mistakes, count what is left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from .annotations import Annotations, shorten

NEARLY_NOTHING = 0.05
"""Share of the objects below which a file teaches nearly nothing."""

BOXES_ONLY = (
    "train boxes alone: mask_head=None in the model, with_mask=False in the pipeline, metric='bbox' in the evaluators "
    '(docs/own_detection_data.md)'
)


def check_annotations(found: Annotations, classes: Sequence[str], needs_outlines: bool) -> None:
    """Refuse a training file from which nothing, or nothing right, can be learned; count and log what is left out.

    Args:
        found: The file.
        classes: Names of the classes that are learned.
        needs_outlines: Whether masks are learned too.

    Raises:
        ValueError: With the reason, in one line.
    """
    annotations = found.content['annotations']
    if not annotations:
        raise ValueError(
            f'{found.path} has no annotations, there is nothing to learn: name the annotation file of the training '
            'images (files without are for testing: test_mode=True)'
        )
    check_plausible(found)
    names = {category['id']: category['name'] for category in found.content['categories']}
    ids = [annotation['category_id'] for annotation in annotations]
    unknown = np.array([key not in names for key in ids])
    chosen = np.array([names.get(key) in classes for key in ids])
    reasons = left_out(found, unknown)
    counted = chosen | unknown
    learned = counted & ~np.logical_or.reduce([*reasons.values()])
    total = int(counted.sum())
    numbers = {reason: int((mask & counted).sum()) for reason, mask in reasons.items() if (mask & counted).any()}
    told = '; '.join(f'{number:,} {reason}' for reason, number in numbers.items())
    if not total:
        raise ValueError(f'{found.path} has no object of the classes {shorten(classes)}: nothing can be learned')
    if learned.sum() < NEARLY_NOTHING * total:
        advice = ': set "iscrowd": 0 where an annotation is one object' if 'crowds (iscrowd=1)' in numbers else ''
        raise ValueError(f'{found.path}: {learned.sum():,} of {total:,} objects can be learned; {told}{advice}')
    has_outline = np.array([bool(annotation.get('segmentation')) for annotation in annotations])
    drawn = counted & ~np.logical_or.reduce([mask for reason, mask in reasons.items() if 'iscrowd' not in reason])
    if needs_outlines and (drawn & ~has_outline).any():
        bare = drawn & ~has_outline
        first = annotations[int(bare.argmax())]
        raise ValueError(
            f'{found.path}: {bare.sum():,} of {total:,} objects have no outline (segmentation), annotation '
            f'{first["id"]!r} of image {first["image_id"]!r} and a mask head needs all: draw them, or {BOXES_ONLY}'
        )
    _tell(found, told, {reason: number for reason, number in numbers.items() if 'iscrowd' not in reason}, learned)


def left_out(found: Annotations, unknown: np.ndarray) -> dict[str, np.ndarray]:
    """Tell which annotations mmdet does not learn, and why; each has one reason.

    Args:
        found: The file.
        unknown: Whether the category of each is not listed (N,).

    Returns:
        Masks (N,) by reason.
    """
    annotations = found.content['annotations']
    x, y, width, height = found.boxes.T
    area = np.array([annotation['area'] for annotation in annotations], dtype=float)
    across = np.minimum(x + width, found.image_hw[:, 1]) - np.maximum(x, 0)
    down = np.minimum(y + height, found.image_hw[:, 0]) - np.maximum(y, 0)
    unlisted = sorted({repr(annotations[row]['category_id']) for row in np.flatnonzero(unknown)})
    reasons = {
        f'of categories that are not listed ({", ".join(unlisted[:5])})': unknown,
        'marked to be ignored': np.array([bool(annotation.get('ignore')) for annotation in annotations]),
        'of less than a pixel of width, height or area': (width < 1) | (height < 1) | (area <= 0),
        'outside of their images': (across <= 0) | (down <= 0),
        'crowds (iscrowd=1)': np.array([bool(annotation.get('iscrowd')) for annotation in annotations]),
    }
    seen = np.zeros(len(annotations), dtype=bool)
    for reason, mask in reasons.items():
        reasons[reason] = mask & ~seen
        seen |= mask
    return reasons


def check_plausible(found: Annotations) -> None:
    """Look for a mistake that all boxes of a file have.

    Raises:
        ValueError: If category ids are counted from another number, boxes are fractions of the image, two corners, of
            an image of another size, or not those of the outlines.
    """
    if not len(found.boxes):
        return
    for problem in (_shifted_ids(found.content), _fractions(found), _corners(found), _other_size(found)):
        if problem:
            raise ValueError(f'{found.path}: {problem}')
    differ, drawn = unlike_outlines(found)
    if differ.sum() > (1 - 2 * NEARLY_NOTHING) * drawn.sum():
        row = int(differ.argmax())
        box, bounds = (values[row].round(1).tolist() for values in (found.boxes, found.bounds))
        right = [bounds[0], bounds[1], round(bounds[2] - bounds[0], 1), round(bounds[3] - bounds[1], 1)]
        raise ValueError(
            f'{found.path}: {differ.sum():,} of {drawn.sum():,} boxes are not those of their outlines, annotation '
            f'{found.content["annotations"][row]["id"]!r} for one, with bbox {box} and an outline in {right}: export '
            'them again, or set each bbox to x, y, width, height of its outline'
        )


def unlike_outlines(found: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Compare boxes with the bounds of outlines, polygons or masks.

    Returns:
        Whether an edge is off by more than 3 pixels and a tenth of the longer side (N,), and whether there is an
        outline (N,).
    """
    drawn = ~np.isnan(found.bounds[:, 0])
    sides = np.fmax(found.bounds[:, 2] - found.bounds[:, 0], found.bounds[:, 3] - found.bounds[:, 1])
    off = np.abs(_edges(found) - found.bounds).max(axis=1)
    return drawn & (off > 3 + sides / 10), drawn


def _edges(found: Annotations) -> np.ndarray:
    return np.concatenate([found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]], axis=1)


def _shifted_ids(content: Mapping[str, Any]) -> str | None:
    listed = {category['id'] for category in content['categories']}
    used = {annotation['category_id'] for annotation in content['annotations']}
    if not used - listed or not all(isinstance(key, int) for key in used | listed):
        return None
    for step, reached in ((-1, min(used) == min(listed) - 1), (1, max(used) == max(listed) + 1)):
        if reached and used <= {key + step for key in listed}:
            return (
                f'its annotations have the category ids {min(used)} to {max(used)}, its categories {min(listed)} to '
                f'{max(listed)}: classes would be shifted, count both from the same number'
            )
    return None


def _fractions(found: Annotations) -> str | None:
    small = (_edges(found).max(axis=1) <= 1.01).mean()
    if small <= 0.5 or found.image_hw.min() < 4:
        return None
    return f'its boxes are fractions of the image ({found.boxes[0].round(3).tolist()}): give them in pixels'


def _corners(found: Annotations) -> str | None:
    boxes, drawn = found.boxes, ~np.isnan(found.bounds[:, 0])
    limits = found.image_hw[:, ::-1]
    as_corners = ((boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= limits + 2)).all(axis=1)
    if drawn.any():
        differ, _ = unlike_outlines(found)
        close = np.abs(boxes - found.bounds).max(axis=1) <= 3
        suspicious = (close & drawn).sum() > 0.5 * drawn.sum() and differ.sum() > 0.5 * drawn.sum()
    else:
        beyond = (boxes[:, :2] + boxes[:, 2:] > limits + 2).any(axis=1)
        suspicious = beyond.mean() > 0.2
    if not suspicious or as_corners.mean() < 1 - NEARLY_NOTHING:
        return None
    return (
        f'its boxes are two corners, x1 y1 x2 y2 ({boxes[0].round(1).tolist()} in an image of '
        f'{limits[0, 0]:.0f}x{limits[0, 1]:.0f}): COCO writes x, y, width, height'
    )


def _other_size(found: Annotations) -> str | None:
    center = found.boxes[:, :2] + found.boxes[:, 2:] / 2
    away = ((center < 0) | (center > found.image_hw[:, ::-1])).any(axis=1)
    if away.mean() <= 2 * NEARLY_NOTHING:
        return None
    first = found.content['annotations'][int(away.argmax())]
    return (
        f'{away.sum():,} of {len(away):,} boxes have their center outside of the image, annotation {first["id"]!r} for '
        'one: were they drawn on images of another size? Scale them to the width and height of the images'
    )


def _tell(found: Annotations, told: str, dropped: Mapping[str, int], learned: np.ndarray) -> None:
    """Log what is left out of a file: as a warning where it is more than crowds and images without objects."""
    differ, drawn = unlike_outlines(found)
    if found.orphans:
        told = '; '.join([*filter(None, [told]), f'{found.orphans:,} of images that are not listed'])
    parts = [f'left out: {told}'] if told else []
    if differ.any():
        parts.append(f'{differ.sum():,} of {drawn.sum():,} boxes are not those of their outlines')
    if found.short_parts:
        parts.append(f'{found.short_parts:,} polygons of fewer than three points are left out')
    serious = bool(dropped or found.orphans or parts[bool(told) :])
    used = {found.content['annotations'][row]['image_id'] for row in np.flatnonzero(learned)}
    empty = len(found.content['images']) - len(used)
    if empty:
        parts.append(f'{empty:,} of {len(found.content["images"]):,} images have no object to learn')
    if parts:
        line = f'{found.path}: {learned.sum():,} objects to learn; {"; ".join(parts)}'
        print_log(line, logger='current', level=logging.WARNING if serious else logging.INFO)
