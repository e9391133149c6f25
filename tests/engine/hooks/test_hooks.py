"""Hooks in a real Runner on the toy model."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flsl_mm.engine.hooks import FLSLFreezeLastLayerHook, FLSLReportHook, FLSLScheduleHook
from flsl_mm.engine.schedules import cosine
from flsl_mm.models import FLSLViT
from flsl_mm.scenes import FLSLPatchProbeHook
from tests.engine.toy_run import toy_runner
from tests.selfsup.toy import BACKBONE, toy_model


def record(model, **getters) -> list[dict]:
    """Have every training step append what the getters return after it."""
    rows, original = [], model.train_step

    def train_step(data, optim_wrapper):
        out = original(data, optim_wrapper)
        rows.append({name: getter(model) for name, getter in getters.items()})
        return out

    model.train_step = train_step
    return rows


def test_schedules_reach_the_model_in_every_iteration(tmp_path):
    model = toy_model()
    rows = record(model, momentum=lambda m: m.momentum, temp=lambda m: m.teacher_temp, scale=lambda m: m.self_scale)
    hook = FLSLScheduleHook(
        momentum=dict(type='cosine', start=0.5, end=1.0),
        teacher_temp=dict(type='linear', start=0.04, end=0.08, epochs=2),
        self_scale=dict(type='cosine', start=1.0, end=3.0),
    )
    toy_runner(tmp_path, [hook], model).train()
    assert [row['momentum'] for row in rows] == pytest.approx([cosine(i / 8, 0.5, 1.0) for i in range(8)])
    assert [row['scale'] for row in rows] == pytest.approx([cosine(i / 8, 1.0, 3.0) for i in range(8)])
    assert [row['temp'] for row in rows] == [0.04] * 4 + [0.08] * 4


def test_momentum_follows_the_effective_batch(tmp_path):
    model = toy_model()
    rows = record(model, momentum=lambda m: m.momentum)
    hook = FLSLScheduleHook(base_batch_size=16, momentum=dict(type='cosine', start=0.9, end=1.0))
    wrapper = dict(type='FLSLOptimWrapper', optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2)
    toy_runner(tmp_path, [hook], model, optim_wrapper=wrapper).train()
    assert rows[0]['momentum'] == pytest.approx(0.9 ** (2 * 2 / 16))


@pytest.mark.parametrize(
    ('schedule', 'message'),
    [
        (dict(momentum=dict(type='cosine', start=1)), 'schedule of momentum'),
        (dict(momentum=dict(type='step', start=1, end=2)), 'schedule of momentum'),
    ],
)
def test_bad_schedules_give_one_clear_line(schedule, message):
    with pytest.raises(ValueError, match=message):
        FLSLScheduleHook(**schedule)


def test_unknown_scheduled_value_fails_before_training(tmp_path):
    hook = FLSLScheduleHook(tau=dict(type='cosine', start=1, end=2))
    with pytest.raises(ValueError, match="cannot schedule 'tau'"):
        toy_runner(tmp_path, [hook]).train()


def test_last_layer_is_frozen_in_the_first_epoch_only(tmp_path):
    model = toy_model()
    start = model.head.last_layer.weight.detach().clone()
    other = model.head.mlp[0].weight.detach().clone()
    rows = record(
        model,
        last=lambda m: float((m.head.last_layer.weight - start).detach().abs().max()),
        other=lambda m: float((m.head.mlp[0].weight - other).detach().abs().max()),
    )
    toy_runner(tmp_path, [FLSLFreezeLastLayerHook(epochs=1)], model).train()
    assert all(row['last'] == 0 for row in rows[:4])
    assert all(row['last'] > 0 for row in rows[4:])
    assert rows[0]['other'] > 0


def test_backbone_file_beside_every_kept_checkpoint(tmp_path):
    model = toy_model()
    checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=2)
    hooks = [dict(type='FLSLBackboneExportHook')]
    toy_runner(tmp_path, hooks, model, epochs=3, default_hooks=dict(checkpoint=checkpoint)).train()
    names = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert names == ['epoch_2.pth', 'epoch_2_backbone.pth', 'epoch_3.pth', 'epoch_3_backbone.pth']
    content = torch.load(tmp_path / 'epoch_3_backbone.pth', weights_only=True)
    expected = model.teacher.backbone.state_dict()
    assert content['state_dict'].keys() == expected.keys()
    assert all(torch.equal(content['state_dict'][key], expected[key]) for key in expected)
    meta = content['meta']
    assert meta['arch'] == model.backbone.spec.arch
    assert (meta['patch_size'], meta['pos_resize'], meta['pos_embed']) == (8, 'offset', 'sincos')
    assert meta['mean'] == pytest.approx([0.485, 0.456, 0.406])
    options = {key: value for key, value in BACKBONE.items() if key != 'type'}
    loaded = FLSLViT(**options, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_3_backbone.pth')))
    loaded.init_weights()
    image = torch.randn(1, 3, 40, 40)
    assert torch.equal(loaded.eval()(image)[-1], model.teacher.backbone(image)[-1])


def test_iterations_draw_the_same_whatever_came_before(tmp_path):
    states = []
    for name, spoil in (('plain', False), ('spoilt', True)):
        model = toy_model(backbone=dict(drop_path_rate=0.5))
        original = model.train_step

        def train_step(data, optim_wrapper, original=original, spoil=spoil):
            out = original(data, optim_wrapper)
            if spoil:
                torch.rand(5)
            return out

        model.train_step = train_step
        toy_runner(tmp_path / name, [dict(type='FLSLReseedHook')], model).train()
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def messages_of(runner, run) -> list[str]:
    """Collect what a Runner logs."""
    records = []
    handler = logging.Handler(level=logging.INFO)
    handler.emit = lambda entry: records.append(entry.getMessage())
    runner.logger.addHandler(handler)
    runner.logger.setLevel(logging.INFO)
    run()
    return records


def test_report_names_numbers_and_files(tmp_path):
    hooks = [FLSLReportHook(), dict(type='FLSLBackboneExportHook'), FLSLPatchProbeHook(num_scenes=4, size=48)]
    runner = toy_runner(tmp_path, hooks, default_hooks=dict(logger=dict(type='LoggerHook', interval=1)))
    lines = messages_of(runner, runner.train)
    start = next(line for line in lines if 'effective batch' in line)
    for part in ('8 images', 'effective batch 2 (2 x 1 processes)', 'lr 0.001', 'K = 10', '4 steps per epoch'):
        assert part in start
    end = next(line for line in lines if line.startswith('Written:'))
    for name in ('epoch_2.pth', 'epoch_2_backbone.pth', 'scalars.json', 'clusters_before_after.png'):
        assert name in end
        path = next(word for word in end.split() if word.endswith(name))
        assert Path(path).is_file()
    figures = next(line for line in lines if line.startswith('Unseen scenes'))
    assert 'AUC' in figures
    assert 'chance 0.5' in figures
    assert '20-NN' in figures


@pytest.mark.parametrize(
    ('values', 'word'),
    [
        (dict(inter=math.log(10), teacher_entropy=math.log(10), marginal_entropy=math.log(10)), 'uniform'),
        (dict(inter=0.0, teacher_entropy=0.0, marginal_entropy=0.0), 'single'),
        (dict(inter=1.0, teacher_entropy=0.5, marginal_entropy=2.2), None),
    ],
)
def test_collapse_is_reported_once(tmp_path, values, word):
    hook = FLSLReportHook(interval=1, patience=2)
    runner = toy_runner(tmp_path, [])
    outputs = {key: torch.tensor(value) for key, value in values.items()}
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    lines = messages_of(runner, lambda: [hook.after_train_iter(runner, 0, outputs=outputs) for _ in range(6)])
    warned = [line for line in lines if line.startswith('collapse')]
    assert [f'({word})' in line for line in warned] == ([True] if word else [])


def test_probe_sees_that_training_changed_the_teacher_and_draws_it(tmp_path):
    hook = FLSLPatchProbeHook(num_scenes=6, size=48, num_pictures=2)
    runner = toy_runner(tmp_path, [hook])
    runner.train()
    before = runner.message_hub.get_info('probe_before')
    after = hook.look(runner.model)
    assert 0 <= before['auc'] <= 1
    assert 0 <= before['knn'] <= 1
    assert before['auc'] != after['auc']
    picture = np.array(Image.open(tmp_path / 'clusters_before_after.png'))
    assert picture.shape[1] > 4 * 96
