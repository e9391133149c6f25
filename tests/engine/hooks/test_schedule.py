"""Scheduled values reach the model, and the last layer is frozen at first."""

import pytest

from flsl_mm.engine.hooks import FLSLFreezeLastLayerHook, FLSLScheduleHook
from flsl_mm.engine.schedules import cosine
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import OPTIM_WRAPPER, messages_of, record, toy_runner


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
    wrapper = dict(OPTIM_WRAPPER, optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2)
    toy_runner(tmp_path, [hook], model, optim_wrapper=wrapper).train()
    assert rows[0]['momentum'] == pytest.approx(0.9 ** (2 * 2 / 16))


@pytest.mark.parametrize('momentum', [dict(type='cosine', start=1), dict(type='step', start=1, end=2)])
def test_bad_schedules_give_one_clear_line(momentum):
    with pytest.raises(ValueError, match='schedule of momentum'):
        FLSLScheduleHook(momentum=momentum)


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


@pytest.mark.parametrize(('base', 'told'), [(512, True), (2, False), (None, False)])
def test_a_momentum_that_is_scaled_is_told(tmp_path, base, told):
    momentum = dict(type='cosine', start=0.98, end=1.0)
    runner = toy_runner(tmp_path, [dict(type='FLSLScheduleHook', base_batch_size=base, momentum=momentum)])
    lines = [line for line in messages_of(runner, runner.train) if 'teacher momentum' in line]
    assert len(lines) == told
    if told:
        assert lines[0].startswith(
            'teacher momentum 0.98 is meant for a batch of 512: it starts at 0.999921 for the 2 '
        )
