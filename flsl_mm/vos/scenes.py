"""Procedural videos in DAVIS layout, written on first use; list this module in ``custom_imports``."""

from __future__ import annotations

from mmengine.registry import DATASETS

from flsl_mm.scenes.first_use import ensure_scenes
from flsl_mm.scenes.output import TreeRequest

from .dataset import DAVISDataset


@DATASETS.register_module()
class DAVISScenes(DAVISDataset):
    """Videos of procedural scenes: several objects, some of which leave and return, or come only later.

    Among several processes the first writes, and all wait for it; they share the file system.

    Args:
        data_root: Folder; if it exists it is used as it is (``tools/dataset_converters/make_scenes.py`` writes others).
        num: Videos of both splits together, at least 2.
        frames: Frames of a video, at least 5.
        seed: Seed of the scenes.
        size_hw: Height and width in pixels.
        **kwargs: As of :class:`~flsl_mm.vos.dataset.DAVISDataset`.
    """

    def __init__(
        self,
        data_root: str,
        num: int = 10,
        frames: int = 25,
        seed: int = 0,
        size_hw: tuple[int, int] = (240, 432),
        **kwargs,
    ) -> None:
        size_hw = tuple(size_hw)
        request = TreeRequest(num=num, frames=frames, seed=seed, size_hw=size_hw, val_fraction=0.4, progress=True)
        ensure_scenes(data_root, 'davis', request)
        super().__init__(data_root=data_root, **kwargs)
