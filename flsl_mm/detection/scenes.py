"""Procedural scenes as COCO-style data, written on first use; ``custom_imports`` names this module (it needs mmdet)."""

from __future__ import annotations

from mmengine.registry import DATASETS

from flsl_mm.scenes.first_use import ensure_scenes
from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.painter import CLASSES

from .coco import FLSLCocoDataset


@DATASETS.register_module()
class FLSLScenesCoco(FLSLCocoDataset):
    """Procedural scenes in COCO's layout, written to ``data_root`` on first use.

    Args:
        data_root: Folder; if it exists it is used as it is (``tools/dataset_converters/make_scenes.py`` writes others).
        split: ``'train'`` or ``'val'``.
        num: Images of both splits together.
        val_fraction: Share of ``'val'``.
        seed: Seed of the scenes.
        size_hw: Height and width in pixels.
        **kwargs: As of :class:`~flsl_mm.detection.coco.FLSLCocoDataset`.
    """

    METAINFO = dict(classes=CLASSES, palette=None)

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        num: int = 250,
        val_fraction: float = 0.2,
        seed: int = 0,
        size_hw: tuple[int, int] = (256, 256),
        **kwargs,
    ) -> None:
        request = TreeRequest(num=num, val_fraction=val_fraction, seed=seed, size_hw=tuple(size_hw), progress=True)
        ensure_scenes(data_root, 'coco', request)
        paths = dict(ann_file=f'annotations/instances_{split}.json', data_prefix=dict(img=f'{split}/'))
        super().__init__(data_root=data_root, **paths, **kwargs)
