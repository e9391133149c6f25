"""Whole runs of tiny segmentors: they learn, are resumed, drawn, and stopped where something does not fit."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('mmseg')

from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.visualization import Visualizer

from flsl_mm.checkpoint import backbone_file, read_checkpoint
from flsl_mm.commands import command_line
from flsl_mm.commands import test as test_tool
from flsl_mm.segmentation.check_hook import check_maps, check_num_classes
from tests.builders.checkpoints import tiny
from tests.builders.segmentors import CLASSES, tiny_config, write_folder
from tests.builders.timm_families import every_family
from tests.builders.timm_families import tiny_config as timm_config

HALF = dict(type='Pretrained', checkpoint='half.pth')


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / 'data')


def weights(path) -> dict:
    return read_checkpoint(path)['state_dict']


def test_training_resuming_and_testing(folder, tmp_path):
    """Stopped after one epoch and resumed: two checkpoints, whole and finite; testing gives the same figure again."""
    cfg = tiny_config(folder, tmp_path / 'a')
    cfg.train_cfg.max_epochs = 1
    command_line.build_runner(cfg).train()
    first = weights(tmp_path / 'a/epoch_1.pth')
    cfg = tiny_config(folder, tmp_path / 'a')
    cfg.resume = True
    runner = command_line.build_runner(cfg)
    runner.train()
    second = weights(tmp_path / 'a/epoch_2.pth')
    assert runner.epoch == 2
    assert any(not torch.equal(first[key], second[key]) for key in first)
    trained = runner.message_hub.get_scalar('val/mIoU').current()
    cfg = tiny_config(folder, tmp_path / 'b')
    cfg.load_from = str(tmp_path / 'a/epoch_2.pth')
    assert command_line.build_runner(cfg).test()['mIoU'] == pytest.approx(trained)


def test_a_schedule_of_iterations_is_resumed(folder, tmp_path):
    """As the 40k configs count: stopped after 2 steps and resumed to 3."""
    for max_iters in (2, 3):
        cfg = tiny_config(folder, tmp_path / 'a')
        cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
        cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=10)
        cfg.param_scheduler = [dict(type='PolyLR', power=1.0, by_epoch=False, begin=0, end=3)]
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=1)
        cfg.log_processor.by_epoch = False
        cfg.resume = max_iters == 3
        runner = command_line.build_runner(cfg)
        runner.train()
        assert runner.iter == max_iters
    assert {path.name for path in (tmp_path / 'a').glob('iter_*.pth')} == {'iter_2.pth', 'iter_3.pth'}


def test_a_linear_head_learns_alone(folder, tmp_path):
    cfg = tiny_config(folder, tmp_path / 'a', 'linear_flsl-vit-t8d4_camvid', epochs=1)
    runner = command_line.build_runner(cfg)
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    changed = {key for key, value in runner.model.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.split('.')[0] for key in changed} == {'decode_head'}
    assert not runner.model.backbone.training


def test_images_of_predictions(folder, tmp_path, monkeypatch):
    from mmseg.visualization import SegLocalVisualizer  # after flsl_mm, which stands in for ops that mmcv lacks

    for kind in (Visualizer, SegLocalVisualizer):  # of an earlier run in this process, with its own folder
        monkeypatch.setattr(kind, '_instance_dict', OrderedDict())
    cfg = tiny_config(folder, tmp_path / 'a')
    cfg.dump(tmp_path / 'config.py')
    options = ['none', '--work-dir', str(tmp_path / 'work'), '--show-dir', str(tmp_path / 'show')]
    assert test_tool.main([str(tmp_path / 'config.py'), *options]) == 0
    images = sorted((tmp_path / 'show').rglob('*.png'))
    assert len(images) == 4
    assert np.asarray(Image.open(images[0])).shape == (40, 96, 3)  # truth and prediction side by side


@pytest.mark.parametrize(
    ('key', 'value', 'line'),
    [
        ('model.decode_head.num_classes', 5, 'decode_head has num_classes=5, the data set lists 3 classes'),
        ('model.decode_head.in_channels', [8, 8, 8, 9], r'in_channels=\[8, 8, 8, 9\], backbone and necks'),
        ('model.decode_head.feature_strides', [8, 16, 32, 64], r'feature_strides=\[8, 16, 32, 64\]'),
        ('model.decode_head.in_index', [0, 1, 2, 4], r'reads the maps \[0, 1, 2, 4\] of 4'),
        ('model.backbone.out_indices', (0, 1, 2), 'the pyramid takes 4 maps, .*, got 3: give'),
        ('val_dataloader.dataset.metainfo.classes', CLASSES[:2], 'the data set lists 2 classes'),
        ('model.backbone.init_cfg', HALF, r'mean=\[127.5, 127.5, 127.5\].*FLSLSegmentationCheckHook'),
    ],
)
def test_what_does_not_fit_is_named_before_training(folder, tmp_path, key, value, line, monkeypatch):
    cfg = tiny_config(folder, tmp_path / 'a')
    cfg.merge_from_dict({key: value})
    monkeypatch.chdir(tmp_path)
    if value == HALF:  # the file of a backbone that was trained on other colors
        backbone = tiny(arch=dict(embed_dim=16, depth=4, num_heads=2))
        torch.save(backbone_file(backbone, mean=(0.5,) * 3, std=(0.5,) * 3), 'half.pth')
    with pytest.raises(ValueError, match=line):
        command_line.build_runner(cfg).train()
    assert not list(tmp_path.glob('a/epoch_*.pth'))


@every_family
def test_any_vit_of_timm_trains_and_predicts(name, folder, tmp_path):
    """Semantic FPN on every family; the pyramid has strides 4 to 32 whatever the patch size."""
    cfg = tiny_config(folder, tmp_path / 'a')
    model = copy.deepcopy(cfg.model)
    model.backbone = ConfigDict(timm_config(name, stride=16, out_indices=(0, 0, 1, 1), final_norm=False))
    model.neck[0].update(in_channels=32, patch_size=16)
    model.neck[1].in_channels = [32] * 4
    init_default_scope('mmseg')
    segmentor = MODELS.build(model)
    check_maps(segmentor)
    check_num_classes(segmentor, CLASSES)
    data = dict(inputs=torch.randn(2, 3, 64, 96))
    logits = segmentor.train()(data['inputs'], mode='tensor')
    assert logits.shape == (2, 3, 16, 24)
    logits.square().mean().backward()
    trained = [key for key, value in segmentor.named_parameters() if value.requires_grad and value.grad is None]
    assert trained == []
