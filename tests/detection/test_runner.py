"""The configs run through MMEngine's Runner: data written on first use, training, evaluation, checks, NaN."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')

from mmengine.runner import Runner

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from tests.builders.small_detector import scenes_config


@pytest.fixture
def cfg(tmp_path):
    return scenes_config(tmp_path)


def test_scenes_config_writes_its_data_trains_evaluates_and_saves(cfg, tmp_path, capsys):
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    folders = {path.name for path in (tmp_path / 'scenes').iterdir() if path.is_dir()}
    assert folders == {'annotations', 'train', 'val'}
    assert {'val/coco/bbox_mAP', 'val/coco/segm_mAP'} < set(runner.message_hub.log_scalars)
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()
    assert len(runner.optim_wrapper.optimizer.param_groups) == 2
    # The console shows COCO's figures as a table.
    shown = capsys.readouterr().out
    log = next(tmp_path.glob('work/*/*.log')).read_text()
    lines = shown.splitlines()
    start = next(index for index, line in enumerate(lines) if line.endswith('Epoch(val) [1][2/2]'))
    assert lines[start + 1].split()[:3] == ['AP', 'AP50', 'AP75']
    assert [line.split()[0] for line in lines[start + 2 : start + 4]] == ['coco/bbox', 'coco/segm']
    for part in ('Average Precision', 'Evaluating bbox', 'copypaste', 'bbox_mAP', 'per image'):
        assert part not in shown
        assert part in log


@pytest.mark.slow
def test_two_images_are_learned_by_heart(cfg):
    # Decoding, labels, scales of boxes and masks and the metric all have to fit for these figures: 0.02 after one step,
    # 0.5 to 0.7 after 60, by seed and number of threads.
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    train.pipeline = [step for step in train.pipeline if step.type != 'RandomFlip']
    val.split, val.pipeline[1].scale = 'train', (64, 64)
    cfg.val_evaluator.ann_file = f'{val.data_root}/annotations/instances_train.json'
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg.update(max_epochs=60, val_interval=60)
    cfg.optim_wrapper.optimizer.lr = 2e-3
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=10)]
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    assert scalars['val/coco/bbox_mAP_50'].current() > 0.3
    assert scalars['val/coco/segm_mAP_50'].current() > 0.3


def test_damaged_weights_end_the_run_with_a_line_and_a_report(cfg, tmp_path):
    # Images of different sizes in a batch, as mmdet has them: a list of uint8 tensors.
    resize = dict(type='RandomResize', scale=(64, 64), ratio_range=(0.5, 1.5), keep_ratio=True)
    cfg.train_dataloader.dataset.pipeline.insert(2, resize)
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg.update(max_epochs=7, val_interval=7)
    cfg.default_hooks.checkpoint = None
    runner = Runner.from_cfg(cfg)
    runner.model.backbone.patch_embed.proj.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match='5 steps in a row had a loss or gradient that is not finite: stopped'):
        runner.train()
    report = json.loads((tmp_path / 'work' / 'non_finite_iter5_rank0.json').read_text())
    assert report['weights_not_finite']['backbone.patch_embed.proj.weight'] == 1
    assert report['advice'].startswith('Weights are damaged')
    assert sorted(Path(path).name for path in report['batch_files']) == sorted(
        path.name for path in (tmp_path / 'scenes' / 'train').iterdir()
    )
    assert report['inputs']['not_finite'] == 0 < report['inputs']['max'] <= 255
    assert 'nan' in report['terms']['loss']['latest']


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (dict(roi_head=dict(bbox_head=dict(num_classes=5))), 'bbox_head has num_classes=5, the data set lists 6'),
        (dict(neck={'0': dict(patch_size=8)}), r'rpn_head.prior_generator assumes .*\[8, 16, 32, 64, 128\]'),
    ],
)
def test_what_does_not_fit_stops_before_the_first_step(cfg, change, line):
    cfg.merge_from_dict(dict(model=change))
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=line):
        runner.train()
    assert runner.iter == 0
