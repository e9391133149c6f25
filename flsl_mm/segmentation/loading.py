"""Reading masks with plain errors."""

from __future__ import annotations

import numpy as np
from mmengine.registry import TRANSFORMS
from mmseg.datasets.transforms import LoadAnnotations

IGNORED = 255
"""Number, in masks as mmseg's losses and metrics see them, of pixels that do not count."""


@TRANSFORMS.register_module()
class FLSLLoadSegmentation(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` that says which mask has what it should not have.

    Otherwise a class beyond the last one ends training deep in a loss, and counts for nothing in evaluation.

    Raises:
        ValueError: If a mask is an image of colors, of another size than its image, or has a class that the data set
            does not list.
    """

    def _load_seg_map(self, results: dict) -> None:
        super()._load_seg_map(results)
        mask, path = results['gt_seg_map'], results['seg_map_path']
        if mask.ndim != 2:
            raise ValueError(f'mask {path} is a color image: masks hold one class number per pixel (modes P, L)')
        image_hw = tuple(results.get('ori_shape', mask.shape))
        if mask.shape != image_hw:
            (mask_height, mask_width), (height, width) = mask.shape, image_hw
            raise ValueError(f'mask {path} is {mask_width}x{mask_height} and its image {width}x{height}')
        counted = mask[mask != IGNORED]
        greatest = int(counted.max()) if counted.size else 0
        num_classes = results.get('num_classes')
        if num_classes is not None and greatest >= num_classes:
            raise ValueError(
                f'mask {path} has class {greatest}, and the last of {num_classes} classes is {num_classes - 1}: list '
                'all in metainfo of the data set, or name it in unlabeled'
            )


def unlabeled_map(numbers: tuple[int, ...]) -> dict[int, int]:
    """Map numbers in masks to the one that does not count."""
    return dict.fromkeys(map(int, np.unique(numbers)), IGNORED)
