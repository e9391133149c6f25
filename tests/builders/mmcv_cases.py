"""Cases and seeded inputs on which compiled mmcv was recorded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class NmsCase(NamedTuple):
    """Settings of one suppression: ``num_boxes`` boxes about ``size`` pixels wide in a 100x100 image."""

    seed: int
    num_boxes: int
    size: float
    iou_threshold: float
    offset: int


class RoiCase(NamedTuple):
    """Settings of one pooling of 12 regions from maps (2, 3, 20, 24); some regions reach outside the image."""

    seed: int
    output_size: tuple[int, int]
    spatial_scale: float
    sampling_ratio: int
    aligned: bool


NMS_CASES = [
    NmsCase(seed=0, num_boxes=200, size=30, iou_threshold=0.5, offset=0),
    NmsCase(seed=1, num_boxes=200, size=30, iou_threshold=0.7, offset=0),
    NmsCase(seed=2, num_boxes=200, size=4, iou_threshold=0.3, offset=1),
    NmsCase(seed=3, num_boxes=0, size=30, iou_threshold=0.5, offset=0),
]
ROI_CASES = [
    RoiCase(seed=10, output_size=(7, 7), spatial_scale=0.25, sampling_ratio=0, aligned=True),
    RoiCase(seed=11, output_size=(4, 6), spatial_scale=0.125, sampling_ratio=2, aligned=True),
    RoiCase(seed=12, output_size=(3, 3), spatial_scale=0.25, sampling_ratio=0, aligned=False),
]


def _boxes(random: np.random.RandomState, count: int, size: float, extent: tuple[float, float]) -> np.ndarray:
    corners = random.uniform(-0.1, 0.9, (count, 2)) * extent
    return np.concatenate([corners, corners + random.uniform(0.5, 1.5, (count, 2)) * size], axis=1)


def nms_input(case: NmsCase) -> tuple[Tensor, Tensor]:
    """Draw boxes (N, 4) and distinct scores (N,)."""
    random = np.random.RandomState(case.seed)
    boxes = _boxes(random, case.num_boxes, case.size, (100, 100)).astype('float32')
    scores = (random.permutation(case.num_boxes) + 1).astype('float32') / (case.num_boxes + 1)
    return torch.from_numpy(boxes), torch.from_numpy(scores)


def roi_input(case: RoiCase) -> tuple[Tensor, Tensor, Tensor]:
    """Draw feature maps (2, 3, 20, 24), regions (12, 5) in image pixels and the gradient of the output."""
    random = np.random.RandomState(case.seed)
    features = random.standard_normal((2, 3, 20, 24))
    extent = (24 / case.spatial_scale, 20 / case.spatial_scale)
    boxes = _boxes(random, 12, 40, extent)
    rois = np.concatenate([random.randint(0, 2, (12, 1)), boxes], axis=1)
    grad_output = random.standard_normal((12, 3, *case.output_size))
    return tuple(torch.from_numpy(array.astype('float32')) for array in (features, rois, grad_output))
