"""Average precision around ignore regions, as arithmetic on arrays: match a picture, then rank all pictures' boxes.

Matching and the interpolated precision are COCO's (pycocotools' ``COCOeval``), with one rule more: a detection that
matches no object and lies mostly in ignore regions is not counted, at any threshold. COCO's own crowd regions ask for
the threshold's share of the box, which lets a box count at 0.95 that did not at 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

FALSE_POSITIVE, TRUE_POSITIVE, NOT_COUNTED = 0, 1, 2
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Objects:
    """The annotated objects of one class in a picture, and which of them each of S questions is about.

    Args:
        boxes: Left, top, width, height (G, 4) in pixels.
        wanted: Whether a question counts an object (S, G). One that it does not count may be found or missed.
        areas: Least and greatest area in square pixels (S, 2) of the unmatched detections that a question counts.
    """

    boxes: np.ndarray
    wanted: np.ndarray
    areas: np.ndarray


def match(boxes: np.ndarray, in_regions: np.ndarray, objects: Objects, thresholds: np.ndarray) -> np.ndarray:
    """Decide what the detections of one class in a picture are.

    In the order given, a detection takes the object with which it overlaps most, among those that are still free and
    overlap by the threshold; an object that the question does not count only if there is none that it does.

    Args:
        boxes: Detections, left, top, width, height (D, 4), highest score first.
        in_regions: Whether each lies mostly in ignore regions (D,).
        objects: Objects of the class.
        thresholds: Intersections over union to ask for (T,).

    Returns:
        ``FALSE_POSITIVE``, ``TRUE_POSITIVE`` or ``NOT_COUNTED`` (S, T, D), uint8.
    """
    areas = boxes[:, 2] * boxes[:, 3]
    of_other_area = (areas < objects.areas[:, :1]) | (areas > objects.areas[:, 1:])
    unmatched = np.where(of_other_area | in_regions, NOT_COUNTED, FALSE_POSITIVE).astype(np.uint8)
    status = np.repeat(unmatched[:, None], len(thresholds), axis=1)
    if not len(boxes) or not len(objects.boxes):
        return status
    overlaps = np.asarray(coco_mask.iou(boxes, objects.boxes, np.zeros(len(objects.boxes), np.uint8)))
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    free = np.ones((*status.shape[:2], len(objects.boxes)), bool)
    for index in np.flatnonzero(overlaps.max(1) >= least.min()):
        possible = free & (overlaps[index] >= least)
        counted = possible & objects.wanted[:, None]
        possible = np.where(counted.any(-1, keepdims=True), counted, possible)
        # Of equal overlaps COCO takes the last.
        last_best = possible.shape[-1] - 1 - np.where(possible, overlaps[index], -1)[..., ::-1].argmax(-1)
        question, threshold = np.nonzero(possible.any(-1))
        taken = last_best[question, threshold]
        free[question, threshold, taken] = False
        status[question, threshold, index] = np.where(objects.wanted[question, taken], TRUE_POSITIVE, NOT_COUNTED)
    return status


def precision_recall(scores: np.ndarray, status: np.ndarray, num_objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Rank detections by score and accumulate.

    Args:
        scores: Scores of all detections of a class (D,), in the order of the pictures.
        status: What they are (T, D), see :func:`match`.
        num_objects: Number of objects to find, 1 or more.

    Returns:
        Highest precision (T, D) at this or a later rank, and recall (T, D) at each rank.
    """
    ranked = status[:, np.argsort(-scores, kind='stable')]
    found = np.cumsum(ranked == TRUE_POSITIVE, axis=1)
    counted = np.cumsum(ranked != NOT_COUNTED, axis=1)
    precision = found / np.maximum(counted, 1)
    return np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1], found / num_objects


def interpolated_ap(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Return COCO's average precision (T,): the mean of the precision (T, D) at recalls 0, 0.01, ..., 1."""
    averages = []
    for row, reached in zip(precision, recall, strict=True):
        ranks = np.searchsorted(reached, _RECALLS, side='left')
        averages.append(row[ranks[ranks < len(row)]].sum() / len(_RECALLS))
    return np.array(averages)


def area_under_curve(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Return PASCAL VOC's average precision since 2010 (T,): the area under precision (T, D) over recall (T, D)."""
    return (precision * np.diff(recall, axis=1, prepend=0)).sum(axis=1)
