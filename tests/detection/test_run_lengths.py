"""Bounds of run-length masks."""

import numpy as np
import pytest

pytest.importorskip('mmdet')

from pycocotools import mask as coco_mask

from flsl_mm.detection.run_lengths import run_length_bounds


def test_bounds_of_masks():
    """Compressed and not, at the outer edges of pixels; an empty mask has none."""
    mask = np.zeros((10, 20), np.uint8)
    mask[2:5, 7:9] = mask[8, 12] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    compressed = dict(size=[10, 20], counts=packed['counts'].decode())
    plain = dict(size=[10, 20], counts=[72, 3, 7, 3, 43, 1, 71])
    bounds = run_length_bounds([compressed, plain, dict(size=[10, 20], counts=[200])])
    np.testing.assert_array_equal(bounds, [[7, 2, 13, 9], [7, 2, 13, 9], [np.nan] * 4])
    assert run_length_bounds([]).shape == (0, 4)
