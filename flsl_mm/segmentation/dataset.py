"""Folders of images and masks, CamVid, ADE20K and procedural scenes, with plain errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS, TRANSFORMS
from mmseg.datasets import ADE20KDataset, BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations

from flsl_mm.datasets.image_file import open_image
from flsl_mm.datasets.masks import read_mask
from flsl_mm.engine.model_check import check_names
from flsl_mm.scenes.first_use import ensure_scenes
from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.segmentation import SEGMENTATION_CLASSES

IGNORED = 255
"""Number, in masks as mmseg's losses and metrics see them, of pixels that do not count."""

MASKS_LOOKED_AT = 50
"""Masks of a data set that are read before a run, evenly spaced, until two classes are found."""


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


def check_masks(paths: Sequence[str], label_map: Mapping[int, int]) -> None:
    """Look for masks of 0 and 255, of which the first is the only class, since 255 does not count.

    Args:
        paths: Mask files; those that cannot be read are left to their loading.
        label_map: What other numbers stand for.

    Raises:
        ValueError: If the masks that are looked at have one class, and 255.
    """
    seen: set[int] = set()
    for path in paths[:: -(-len(paths) // MASKS_LOOKED_AT)]:
        with suppress(ValueError):
            seen |= set(np.unique(read_mask(path)).tolist())
        if len({label_map.get(number, number) for number in seen} - {IGNORED}) > 1:
            return
    if IGNORED in seen:
        only = ', '.join(map(str, sorted(seen - {IGNORED}))) or 'none'
        raise ValueError(
            f'masks such as {paths[0]} have one class ({only}) beside {IGNORED}, which does not count: every answer '
            'would be right; number the classes 0, 1, ... (masks of 0 and 255 become 0 and 1)'
        )


class _Checked:
    """What our data sets check of mmseg's."""

    def load_data_list(self) -> list[dict]:
        """List images and masks, each of which is there."""
        check_names(self.metainfo['classes'])
        images, masks = (Path(self.data_prefix[kind]) for kind in ('img_path', 'seg_map_path'))
        for folder in (images, masks):
            if not folder.is_dir():
                raise FileNotFoundError(f'no folder {folder}: set data_root and data_prefix of {type(self).__name__}')
        data_list = super().load_data_list()
        if not data_list:
            raise FileNotFoundError(f'no *{self.img_suffix} in {images}: set img_suffix of {type(self).__name__}')
        missing = [item for item in data_list if not Path(item['seg_map_path']).is_file()]
        if missing:
            first = missing[0]
            raise FileNotFoundError(
                f'no mask {first["seg_map_path"]} of {first["img_path"]} ({len(missing)} of {len(data_list)} are '
                'missing): masks are named as their images'
            )
        if len(self.metainfo['classes']) > 1 and not self.reduce_zero_label:
            check_masks([item['seg_map_path'] for item in data_list], self.label_map or {})
        for item in data_list:
            item['num_classes'] = len(self.metainfo['classes'])
        return data_list

    def prepare_data(self, idx: int) -> dict | None:
        """Read an image and its mask; no pipe or device is waited for, and no image fills the memory."""
        info = self.get_data_info(idx)
        for kind in ('img_path', 'seg_map_path'):
            with open_image(info[kind]):
                pass
        return super().prepare_data(idx)


@DATASETS.register_module()
class FLSLSegmentationDataset(_Checked, BaseSegDataset):
    """Images and masks of class numbers, ``images/SPLIT/NAME.jpg`` and ``annotations/SPLIT/NAME.png``.

    Args:
        split: Name of the folders below ``images`` and ``annotations``.
        unlabeled: Numbers in the masks of pixels that do not count, besides 255.
        **options: As of mmseg's ``BaseSegDataset``: ``metainfo=dict(classes=..., palette=...)``, ``data_root``,
            ``data_prefix``, ``img_suffix``, ``pipeline``.

    Raises:
        FileNotFoundError: If a folder, all images or a mask is missing.
        ValueError: If classes are one string.
    """

    def __init__(self, split: str = 'train', unlabeled: Sequence[int] = (), **options) -> None:
        self.unlabeled = unlabeled_map(tuple(unlabeled))
        prefix = dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}')
        super().__init__(**{'data_prefix': prefix, **options})

    def load_data_list(self) -> list[dict]:
        """List images and masks; unlabeled numbers become mmseg's own."""
        self.label_map = {**self.unlabeled, **(self.label_map or {})} or None
        return super().load_data_list()


@DATASETS.register_module()
class FLSLCamVidDataset(FLSLSegmentationDataset):
    """CamVid street frames with the usual eleven classes (Brostow et al., 2009; classes of SegNet, arXiv 1511.00561).

    ``images/{train,val}/*.jpg``, ``annotations/{train,val}/*.png``: class numbers in the order of the names, 11 for
    pixels without a label. Colors are SegNet's.
    """

    METAINFO = dict(
        classes=(
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'sign',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),
        palette=[
            [128, 128, 128],
            [128, 0, 0],
            [192, 192, 128],
            [128, 64, 128],
            [60, 40, 222],
            [128, 128, 0],
            [192, 128, 128],
            [64, 64, 128],
            [64, 0, 128],
            [64, 64, 0],
            [0, 128, 192],
        ],
    )

    def __init__(self, split: str = 'train', unlabeled: Sequence[int] = (11,), **options) -> None:
        super().__init__(split, unlabeled, **options)


@DATASETS.register_module()
class FLSLADE20KDataset(_Checked, ADE20KDataset):
    """mmseg's ADE20K (150 classes, 0 in masks does not count) with plain errors."""


@DATASETS.register_module()
class FLSLScenesSegmentation(FLSLSegmentationDataset):
    """Procedural scenes with masks of classes, written to ``data_root`` on first use.

    Args:
        data_root: Folder; if it exists it is used as it is.
        split: ``'train'`` or ``'val'``.
        num: Images of both splits together.
        val_fraction: Share of ``'val'``.
        seed: Seed of the scenes.
        size_hw: Height and width in pixels.
        **options: As of :class:`FLSLSegmentationDataset`.
    """

    METAINFO = dict(
        classes=SEGMENTATION_CLASSES,
        palette=[
            [60, 60, 60],
            [220, 60, 60],
            [60, 180, 75],
            [0, 130, 200],
            [245, 200, 50],
            [145, 30, 180],
            [70, 240, 240],
        ],
    )

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        num: int = 250,
        val_fraction: float = 0.2,
        seed: int = 0,
        size_hw: tuple[int, int] = (192, 192),
        **options,
    ) -> None:
        request = TreeRequest(num=num, val_fraction=val_fraction, seed=seed, size_hw=tuple(size_hw), progress=True)
        ensure_scenes(data_root, 'segmentation', request)
        super().__init__(split, data_root=data_root, **options)
