"""Detectors of the configs, made narrow, and the one on scenes with little data."""

from pathlib import Path

import pytest
from mmengine.config import Config

from flsl_mm.models import BackboneSpec

SCENES = Path(__file__).parents[2] / 'configs' / 'det' / 'mask-rcnn_flsl-vit-t16_fpn_scenes.py'


def narrow(cfg: Config) -> None:
    """Set backbone and pyramid of a config to 24 channels; depth and chosen blocks stay, so that they have to fit."""
    arch = BackboneSpec.from_arch(cfg.model.backbone.arch).arch
    cfg.model.backbone.arch = dict(embed_dim=24, depth=arch['depth'], num_heads=3)
    cfg.model.neck[0].in_channels = 24
    cfg.model.neck[1].in_channels = [24] * 4


def scenes_config(folder: Path) -> Config:
    """Shrink the config of Mask R-CNN on scenes to an epoch of 2 steps on 4 images of 64x64, all in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SCENES_ROOT', str(folder / 'scenes'))
        cfg = Config.fromfile(SCENES)
    cfg.work_dir, cfg.experiment_name = str(folder / 'work'), folder.name
    narrow(cfg)
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 1})
    for dataloader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataloader.dataset.update(num=4, val_fraction=0.5, size_hw=(64, 64))
    return cfg
