"""Regions of an image whose objects are not annotated: the share of a box in them, and training around them."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.registry import TASK_UTILS, TRANSFORMS
from mmengine.structures import InstanceData
from torch import Tensor


def covered_share(boxes: Tensor, regions: Tensor) -> Tensor:
    """Measure which share of a box's area lies in regions, wherever these overlap counted once.

    Args:
        boxes: Corners x1, y1, x2, y2 (N, 4).
        regions: Corners, likewise (M, 4).

    Returns:
        Shares (N,), from 0 to 1; 0 for a box without area.
    """
    # The regions' edges cut the image into a grid; a cell is either in a region or outside of all of them.
    with torch.autocast(boxes.device.type, enabled=False):  # areas above 65504 square pixels overflow float16
        boxes = boxes if boxes.dtype == torch.float64 else boxes.float()
        regions = regions.to(boxes)
        xs, ys = regions[:, 0::2].unique(), regions[:, 1::2].unique()
        across = (regions[:, :1] <= xs[:-1]) & (xs[1:] <= regions[:, 2:3])
        down = (regions[:, 1:2] <= ys[:-1]) & (ys[1:] <= regions[:, 3:])
        in_region = (down[:, :, None] & across[:, None, :]).any(0).to(boxes)
        widths = _overlap(boxes[:, 0::2], xs)
        heights = _overlap(boxes[:, 1::2], ys)
        covered = ((heights @ in_region) * widths).sum(1)
        area = (boxes[:, 2] - boxes[:, 0]).clamp(min=0) * (boxes[:, 3] - boxes[:, 1]).clamp(min=0)
        return covered / area.clamp(min=torch.finfo(area.dtype).tiny)


def _overlap(spans: Tensor, edges: Tensor) -> Tensor:
    """Return the length (N, E - 1) that spans, start and end (N, 2), have in common with those between edges (E,)."""
    return (spans[:, 1:].minimum(edges[1:]) - spans[:, :1].maximum(edges[:-1])).clamp(min=0)


@TASK_UTILS.register_module()
class FLSLIgnoreRegionAssigner:
    """Keeps boxes that lie mostly in ignore regions out of training: they become neither positive nor negative.

    Wraps mmdet's ``MaxIoUAssigner``; others look at more than boxes and overlaps. Its ``ignore_iof_thr`` is for the
    same end, but makes every box of an image without annotated objects negative, those in ignore regions as well, and
    asks each region by itself where a box lies across two. An annotated object in a region still trains the second
    stage through its own box, which mmdet's sampler adds to the proposals.

    Args:
        assigner: Config of the ``MaxIoUAssigner`` that decides about all other boxes.
        max_covered: Greatest share of a box in ignore regions, 0 to 1, with which it takes part.

    Raises:
        ValueError: If the assigner is no ``MaxIoUAssigner``.
    """

    def __init__(self, assigner: dict, max_covered: float = 0.5) -> None:
        self.assigner = TASK_UTILS.build(assigner)
        # By name: this package works without mmdet.
        if 'MaxIoUAssigner' not in [kind.__name__ for kind in type(self.assigner).__mro__]:
            raise ValueError(
                f'FLSLIgnoreRegionAssigner cannot wrap {type(self.assigner).__name__}: its assigner has to be a '
                'MaxIoUAssigner'
            )
        self.max_covered = max_covered

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs,
    ):
        """Assign annotated objects to boxes.

        Args:
            pred_instances: ``priors`` are the boxes (N, 4), anchors or proposals.
            gt_instances: Annotated objects, ``bboxes`` (G, 4) and ``labels`` (G,).
            gt_instances_ignore: Ignore regions, ``bboxes`` (M, 4).
            **kwargs: Passed on.

        Returns:
            The wrapped assigner's result; ``gt_inds`` (N,) is -1 for boxes that lie mostly in ignore regions.
        """
        if gt_instances_ignore is None or len(gt_instances_ignore) == 0:
            return self.assigner.assign(pred_instances, gt_instances, **kwargs)
        priors = pred_instances.priors
        takes_part = covered_share(priors, gt_instances_ignore.bboxes) <= self.max_covered
        result = self.assigner.assign(pred_instances[takes_part], gt_instances, **kwargs)
        for name, absent in (('gt_inds', -1), ('labels', -1), ('max_overlaps', 0)):
            values = getattr(result, name)
            if values is not None:
                setattr(result, name, values.new_full((len(priors),), absent).masked_scatter(takes_part, values))
        return result


@TRANSFORMS.register_module()
class FLSLExtendIgnoreRegions:
    """Lets ignore regions that reach the border of the image go on beyond it.

    Anchors at the border hang out of the image. One that shows nothing but an ignore region would otherwise lie in
    it by less than half and be a negative example. The last of mmdet's transforms before ``PackDetInputs``.
    """

    def __call__(self, results: dict) -> dict:
        """Extend the regions by the image's longer side.

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
