"""Ignore regions at the border of a picture, as training sees them."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FLSLExtendIgnoreRegions:
    """Lets ignore regions that reach the border of the picture go on beyond it.

    Anchors at the border hang out of the picture. One that shows nothing but an ignore region would otherwise lie in
    it by less than half and be a negative example. The last of mmdet's transforms before ``PackDetInputs``.
    """

    def __call__(self, results: dict) -> dict:
        """Extend the regions by the picture's longer side.

        Args:
            results: ``gt_bboxes`` are boxes (N, 4), corners in pixels, ``gt_ignore_flags`` (N,) marks the ignore
                regions among them, ``img_shape`` is height and width.

        Returns:
            The same dict, its boxes changed.
        """
        height, width = results['img_shape'][:2]
        boxes = results['gt_bboxes'].tensor
        beyond = max(height, width)
        borders = boxes.new_tensor([0, 0, width, height])
        outwards = boxes.new_tensor([-beyond, -beyond, beyond, beyond])
        regions = torch.from_numpy(np.asarray(results['gt_ignore_flags'], dtype=bool))
        # Resizing rounds: what is within a pixel of the border reaches it.
        at_border = regions[:, None] & ((boxes - borders) * outwards.sign() > -1)
        results['gt_bboxes'].tensor = torch.where(at_border, boxes + outwards, boxes)
        return results
