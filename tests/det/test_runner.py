"""The scenes config runs through MMEngine's Runner: data written on first use, training, evaluation, checks."""

from pathlib import Path

import pytest

pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.runner import Runner

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops

CONFIG = Path(__file__).parents[2] / 'configs' / 'det' / 'mask-rcnn_flsl-vit-t16_fpn_scenes.py'


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    """Shrink the config to 4 pictures of 64x64 and 2 steps."""
    monkeypatch.setenv('SCENES_ROOT', str(tmp_path / 'scenes'))
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'work'), tmp_path.name
    cfg.model.backbone.arch = dict(embed_dim=24, depth=12, num_heads=3)
    cfg.model.neck[0].in_channels = 24
    cfg.model.neck[1].in_channels = [24] * 4
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 1})
    for dataloader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataloader.dataset.update(num=4, val_fraction=0.5, size_hw=(64, 64))
    return cfg


def test_scenes_config_writes_its_data_trains_evaluates_and_saves(cfg, tmp_path):
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    assert sorted(path.name for path in (tmp_path / 'scenes').iterdir() if path.is_dir()) == [
        'annotations',
        'train',
        'val',
    ]
    scalars = runner.message_hub.log_scalars
    assert 0 <= scalars['val/coco/bbox_mAP'].current() <= 1
    assert 0 <= scalars['val/coco/segm_mAP'].current() <= 1
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()
    assert len(runner.optim_wrapper.optimizer.param_groups) == 2


def test_wrong_number_of_classes_stops_before_the_first_step(cfg):
    cfg.model.roi_head.bbox_head.num_classes = 5
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match='bbox_head has num_classes=5, the data set lists 6 categories'):
        runner.train()
    assert runner.iter == 0


def test_wrong_strides_stop_before_the_first_step(cfg):
    cfg.model.neck[0].patch_size = 8
    runner = Runner.from_cfg(cfg)
    with pytest.raises(
        ValueError, match=r'rpn_head.prior_generator assumes .*\[4, 8, 16, 32, 64\].*\[8, 16, 32, 64, 128\]'
    ):
        runner.train()
    assert runner.iter == 0
