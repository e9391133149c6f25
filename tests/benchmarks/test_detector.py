"""The benchmark of detection, with a tiny Mask R-CNN."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')

import detector
import tiny

from tests.builders.benchmarks import give_durations

TINY = ['--height', '60', '--width', '90', '--batch-size', '2', '--objects', '3', '--candidates', '5']
TINY += ['--device', 'cpu', '--repeats', '3']


@pytest.fixture
def config(tmp_path) -> Path:
    return tiny.detection(tmp_path)


def test_ratios_are_those_of_given_durations(config, tmp_path, monkeypatch, capsys):
    durations = dict(
        step=[6.0, 8.0, 20.0], backbone_step=[3.0, 8.0, 5.0], inference=[1.0, 3.0, 2.0], backbone_inference=[1.0] * 3
    )
    asked = give_durations(monkeypatch, **durations)
    out = tmp_path / 'numbers.json'
    assert detector.main([*TINY, '--config', str(config), '--out', str(out)]) == 0
    assert (asked['repeats'], asked['warmup']) == (3, 1)
    numbers = json.loads(out.read_text())
    assert numbers['seconds'] == durations
    assert (numbers['step_seconds'], numbers['backbone_step_seconds'], numbers['step_ratio']) == (8, 5, 2)
    assert (numbers['inference_seconds'], numbers['inference_ratio']) == (2, 2)
    assert numbers['setting']['dtype'] == 'float32'
    assert 0 < numbers['score_threshold'] < 0.05
    printed = [*map(str.split, capsys.readouterr().out.splitlines())]
    assert ['step', '8,000.0', 'ms', 'bare', 'backbone', '5,000.0', 'ms', '2.00'] in printed


def test_works_do_what_they_say(config):
    args = detector.get_parser().parse_args([*TINY, '--config', str(config)])
    model, wrapper = detector.build(args)
    before = [parameter.clone() for parameter in model.parameters()]
    works = detector.build_workloads(model, wrapper, detector.random_batch(args, 80), args.dtype)
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


@pytest.mark.parametrize('num_classes', [1, 80])
def test_batch(num_classes):
    batch = detector.random_batch(detector.get_parser().parse_args(TINY), num_classes)
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, 60, 90)] * 2
    for sample in batch['data_samples']:
        objects = sample.gt_instances
        assert len(objects.bboxes) == len(objects.masks) == 3
        assert objects.labels.max() < num_classes
        assert 'ignored_instances' not in sample


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--config', 'none.py'], 'no config none.py'),
        (['--height', '0'], '--height'),
        (['--dtype', 'bfloat16'], 'cuda'),
    ],
)
def test_mistakes(capsys, arguments, line):
    assert detector.main([*TINY, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert line in error
