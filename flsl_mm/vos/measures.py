"""Region similarity J, contour accuracy F and their statistics, as the DAVIS evaluation defines them (pure functions).

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016; the numbers
follow the official evaluation (davisvideochallenge/davis2017-evaluation).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

BOUND_TH = 0.008
"""How far two contours may be apart, as a share of the image diagonal."""

DECAY_BINS = 4
"""Decay compares the first of so many parts of a video with the last."""


class Statistics(NamedTuple):
    """Mean, recall (share of frames above 0.5) and decay (first quarter minus last quarter) over the frames."""

    mean: float
    recall: float
    decay: float


def region_similarity(prediction: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None) -> float:
    """Compute J, the intersection over union of two masks.

    Args:
        prediction: Bool mask (H, W).
        truth: Bool mask (H, W).
        void: Bool mask (H, W) of pixels that do not count, or None.

    Returns:
        J in 0..1; 1 where both masks are empty.
    """
    if void is not None:
        prediction, truth = prediction & ~void, truth & ~void
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def mask_boundary(mask: np.ndarray) -> np.ndarray:
    """Mark the pixels that differ from the one to the right, below, or right below (within the image).

    Args:
        mask: Bool mask (H, W).

    Returns:
        Boundary map, bool (H, W).
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask ^ right) | (mask ^ below) | (mask ^ diagonal)


def disk(radius: int) -> np.ndarray:
    """Make a disk-shaped structuring element, uint8 (2 * radius + 1, 2 * radius + 1)."""
    offset = np.arange(-radius, radius + 1)
    return (offset[:, None] ** 2 + offset[None] ** 2 <= radius**2).astype(np.uint8)


def _crop(masks: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Cut masks to the box that holds all of their set pixels."""
    any_set = np.logical_or.reduce(masks)
    rows, columns = np.flatnonzero(any_set.any(axis=1)), np.flatnonzero(any_set.any(axis=0))
    box = tuple(slice(index[0], index[-1] + 1) for index in (rows, columns))
    return tuple(mask[box] for mask in masks)


def contour_accuracy(
    prediction: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None, bound_th: float = BOUND_TH
) -> float:
    """Compute F, the harmonic mean of precision and recall of the contour's pixels.

    A contour pixel is right if the other contour has a pixel within ``ceil(bound_th * diagonal)`` pixels.

    Args:
        prediction: Bool mask (H, W).
        truth: Bool mask (H, W).
        void: Bool mask (H, W) of pixels that do not count (they become background in both), or None.
        bound_th: Tolerance as a share of the diagonal; from 1 on, in pixels.

    Returns:
        F in 0..1; 1 where neither mask has a contour, 0 where only one has.
    """
    if void is not None:
        prediction, truth = prediction & ~void, truth & ~void
    radius = int(np.ceil(bound_th if bound_th >= 1 else bound_th * np.linalg.norm(truth.shape)))
    contours = mask_boundary(prediction), mask_boundary(truth)
    empty = [not contour.any() for contour in contours]
    if any(empty):
        return float(all(empty))
    predicted, true = _crop(contours)
    element = disk(radius)
    near_predicted, near_true = (cv2.dilate(contour.view(np.uint8), element) for contour in (predicted, true))
    precision = np.count_nonzero(predicted & (near_true > 0)) / np.count_nonzero(predicted)
    recall = np.count_nonzero(true & (near_predicted > 0)) / np.count_nonzero(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def frame_statistics(values: np.ndarray) -> Statistics:
    """Summarize the per-frame J or F of one object.

    The quarters of the decay share their border frame, with the official rounding of the borders.

    Args:
        values: Per-frame values (T,), T at least 1.
    """
    borders = np.round(np.linspace(1, len(values), DECAY_BINS + 1) + 1e-10).astype(int) - 1
    first = values[borders[0] : borders[1] + 1]
    last = values[borders[-2] : borders[-1] + 1]
    return Statistics(float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean()))
