"""The benchmark of a training step: ratios by hand, a stopwatch of nested parts, and what the bare ViTs do."""

import json
import statistics
from types import SimpleNamespace

import pytest
import tiny
import torch
import train_step
from mmengine.config import Config

from flsl_mm.engine.hooks import compile as compile_hook
from tests.builders.benchmarks import DETECTION, Clock

TINY = ['--batch-size', '2', '--repeats', '2', '--device', 'cpu']


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setitem(train_step.COPY_BYTES, 'cpu', 2**12)
    monkeypatch.setitem(train_step.MATRIX_SIDE, 'cpu', 8)
    return tiny.pretraining(tmp_path)


def test_numbers_by_hand():
    seconds = dict(
        step=[2.0, 4.0, 10.0],
        limit=[1.0, 4.0, 5.0],
        views=[0.2, 0.2, 0.5],
        copy=[0.1, 0.1, 0.1],
        product=[1.0, 1.0, 1.0],
    )
    amounts = dict(images=8, step_flops=600, product_flops=400, view_bytes=50, copy_bytes=100)
    numbers = train_step.summarize(seconds, amounts)
    assert numbers == pytest.approx(
        dict(
            step_seconds=4,
            limit_seconds=4,
            views_seconds=0.2,
            copy_seconds=0.1,
            product_seconds=1,
            least_views_seconds=0.05,  # half of the copy's bytes
            ratio=2,  # of 2, 1 and 2
            images_per_second=2,
            matrix_flops_per_second=400,
            matrix_share=0.375,  # 600 operations in 4 s at 400 a second
            views_share=0.05,  # of 0.1, 0.05 and 0.05
            views_ratio=4,  # of 4, 4 and 10
        )
    )
    compiled = dict(seconds, compiled_step=[1.0, 1.0, 5.0], compiled_limit=[1.0, 0.5, 4.0])
    numbers = train_step.summarize(compiled, amounts)
    assert numbers['compiled_ratio'] == 1.25
    assert numbers['compiled_share'] == 0.5


def test_stopwatch_charges_the_innermost_part(monkeypatch):
    clock = Clock(monkeypatch)
    watch = train_step.Stopwatch('cpu')
    model = SimpleNamespace(backbone=clock.takes(5))

    def loss():
        clock.now += 1
        model.backbone()
        clock.now += 2
        model.backbone()

    model.loss = loss
    watch.wrap(model, 'backbone', 'student')
    watch.wrap(model, 'loss', 'rest')
    clock.now += 50  # between the parts
    model.loss()
    assert watch.seconds == dict(rest=3, student=10)


def test_bare_vits_do_the_backbones_work_on_the_steps_views(config):
    args = train_step.get_parser().parse_args([*TINY, '--config', str(config), '--device', 'cpu'])
    trial = train_step.Trial(args)
    seen = []
    for vit in (trial.student, trial.teacher):
        vit.register_forward_hook(
            lambda module, inputs, output: seen.append((module, inputs[0], output.requires_grad, tuple(output.shape)))
        )
    gradients = {}
    for name, parameter in trial.student.named_parameters():
        parameter.register_hook(lambda gradient, name=name: gradients.update({name: gradient.shape}))
    trial.limit()
    assert gradients == {name: parameter.shape for name, parameter in trial.student.named_parameters()}
    teacher_view, global_view, *local_views = trial.views
    expected = [teacher_view, global_view, torch.cat(local_views)]
    assert [module for module, *_ in seen] == [trial.teacher, trial.student, trial.student]
    assert all(torch.equal(images, view) for (_, images, *_), view in zip(seen, expected, strict=True))
    assert [trained for *_, trained, _ in seen] == [False, True, True]
    assert [shape for *_, shape in seen] == [(2, 16, 16), (2, 16, 16), (4, 4, 16)]
    assert all(parameter.grad is None for parameter in trial.student.parameters())
    # Positions are the one thing that timm learns and ours does not.
    ours = sum(parameter.numel() for name, parameter in trial.model.backbone.named_parameters() if name != 'pos_embed')
    assert sum(parameter.numel() for parameter in trial.student.parameters()) == ours + 16 * 16

    before = [parameter.clone() for parameter in trial.model.backbone.blocks.parameters()]
    trial.step()
    after = trial.model.backbone.blocks.parameters()
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True) if old.ndim > 1)


def test_program(config, tmp_path, capsys):
    out = tmp_path / 'numbers.json'
    assert train_step.main([*TINY, '--config', str(config), '--out', str(out)]) == 0
    numbers = json.loads(out.read_text())
    # Teacher view and global view of 64 pixels, two local ones of 32; a byte a value comes in, four go out.
    assert numbers['amounts']['view_bytes'] == 2 * 3 * (64**2 + 4 * (2 * 64**2 + 2 * 32**2))
    assert numbers['amounts']['copy_bytes'] == 2 * 2**12
    for name, value in train_step.summarize(numbers['seconds'], numbers['amounts']).items():
        assert numbers[name] == pytest.approx(value)
    assert {len(turns) for turns in numbers['seconds'].values()} == {2}
    parts = numbers['parts_seconds']
    assert len(parts) == 10
    assert all(seconds > 0 for seconds in parts.values())
    cfg = Config.fromfile(config)
    # Three linear layers of the head with 16, 8 and 8 outputs, the last without bias, and the backbone.
    head = 17 * 16 + 17 * 8 + 8 * 8
    blocks = cfg.model.backbone.arch.depth * (4 * 16 + 17 * 48 + 17 * 16 + 17 * 64 + 65 * 16)
    assert numbers['gradient_bytes'] == 4 * (head + blocks + (16 * 16 * 3 + 1) * 16 + 2 * 16)
    assert f'{statistics.median(numbers["seconds"]["step"]) * 1e3:,.1f} ms' in capsys.readouterr().out


def test_compiled_blocks_are_timed_beside_the_others(config, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(compile_hook, 'compile_blocks', compiled.append)
    out = tmp_path / 'numbers.json'
    assert train_step.main([*TINY, '--config', str(config), '--compile', '--out', str(out)]) == 0
    assert [type(network).__name__ for network in compiled] == ['FLSL', 'VisionTransformer', 'VisionTransformer']
    seconds = json.loads(out.read_text())['seconds']
    assert {'step', 'limit', 'compiled_step', 'compiled_limit'} <= set(seconds)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--config', 'none.py'], 'no config none.py'),
        (['--config', str(DETECTION / 'mask-rcnn_flsl-vit-t16_fpn_scenes.py')], 'its model is MaskRCNN, not FLSL'),
        (['--batch-size', '0'], '--batch-size must be at least 1, got 0'),
    ],
)
def test_mistakes(capsys, options, line):
    assert train_step.main([*TINY, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.endswith(f'{line}\n')
