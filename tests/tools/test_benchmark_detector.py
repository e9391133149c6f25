"""The benchmark of detection, with a tiny Mask R-CNN."""

from __future__ import annotations

import importlib
import json
import statistics
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

FOLDER = Path(__file__).parents[2] / 'tools' / 'benchmarks'
TINY = ['--height', '60', '--width', '90', '--batch-size', '2', '--objects', '3', '--candidates', '5']
TINY += ['--device', 'cpu', '--repeats', '2']


@pytest.fixture
def detector(monkeypatch):
    pytest.importorskip('mmdet')
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module('detector')
    MMLogger._instance_dict.pop('benchmark', None)  # it would keep other tests' messages back


@pytest.fixture
def config(detector, tmp_path) -> Path:
    """Write the default config with less in it: a narrow backbone and few boxes."""
    cfg = Config.fromfile(detector.CONFIG)
    cfg.model.backbone.update(arch=dict(embed_dim=16, depth=4, num_heads=2), out_indices=(0, 1, 2, 3), img_size=64)
    cfg.model.neck[0].in_channels = 16
    cfg.model.neck[1].in_channels = [16] * 4
    cfg.model.train_cfg.rpn_proposal.max_per_img = 20
    cfg.model.train_cfg.rcnn.sampler.num = 16
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.dump(tmp_path / 'tiny.py')
    return tmp_path / 'tiny.py'


def test_numbers(detector, config, tmp_path, capsys):
    out = tmp_path / 'detector.json'
    arguments = [*TINY, '--config', str(config), '--out', str(out)]
    assert detector.measure.main(detector.get_parser(), detector.run, arguments) == 0
    numbers = json.loads(out.read_text())
    seconds = numbers['seconds']
    for name in ('step', 'inference'):
        assert numbers[f'{name}_seconds'] == statistics.median(seconds[name])
        assert numbers[f'backbone_{name}_seconds'] == statistics.median(seconds[f'backbone_{name}'])
        ratios = [ours / bare for ours, bare in zip(seconds[name], seconds[f'backbone_{name}'], strict=True)]
        assert numbers[f'{name}_ratio'] == pytest.approx(statistics.median(ratios))
    assert numbers['dtype'] == 'float32'
    assert 0 < numbers['score_threshold'] < 0.05
    assert f'{numbers["step_ratio"]:7.2f}\n' in capsys.readouterr().out


def test_works_do_what_they_say(detector, config):
    args = detector.get_parser().parse_args([*TINY, '--config', str(config)])
    model, wrapper, dtype = detector.build(args)
    before = [parameter.clone() for parameter in model.parameters()]
    batch = detector.random_batch(args, 80)
    works = detector.get_works(model, wrapper, batch, dtype)
    seen = []
    model.backbone.register_forward_hook(lambda module, inputs, outputs: seen.append((module.training, inputs[0])))
    found = []
    model.roi_head.mask_head.register_forward_hook(lambda module, inputs, outputs: found.append(len(outputs)))
    assert detector.lower_threshold(model, works['inference'], 10) < 0.05
    works['inference']()
    assert 0 < found[-1] <= 10  # masks of found objects: none would pass the config's threshold
    for work in ('step', 'backbone_step', 'backbone_inference'):
        works[work]()
    assert [training for training, _ in seen] == [False, False, True, True, False]
    # 60 x 90 pixels, padded to multiples of 32; the bare backbone sees the detector's own batch.
    assert {tuple(images.shape) for _, images in seen} == {(2, 3, 64, 96)}
    assert all(torch.equal(images, seen[0][1]) for _, images in seen)
    assert wrapper._inner_count == 1
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_masks_fill_boxes(detector):
    args = detector.get_parser().parse_args(TINY)
    batch = detector.random_batch(args, 80)
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, 60, 90)] * 2
    objects = batch['data_samples'][1].gt_instances
    assert len(objects) == 3
    for mask, (left, top, right, bottom) in zip(objects.masks.masks, objects.bboxes.tolist(), strict=True):
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 60
        assert mask.sum() == (int(right) - int(left) + 1) * (int(bottom) - int(top) + 1)


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [(['--config', 'none.py'], 'no config'), (['--height', '0'], '--height'), (['--dtype', 'bfloat16'], 'cuda')],
)
def test_mistakes(detector, capsys, arguments, line):
    assert detector.measure.main(detector.get_parser(), detector.run, [*TINY, *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert 'Traceback' not in error
