"""Lines of the training log."""

import math

import pytest
from mmengine.hooks import Hook

from flsl_mm.engine.log_processor import format_value
from tests.builders.toy_run import LOGGED, messages_of, toy_runner


@pytest.mark.parametrize(
    ('name', 'value', 'text'),
    [
        ('inter', 8.31776, '8.3178'),
        ('momentum', 0.5, '0.5000'),
        ('momentum', 0.996, '0.99600'),
        ('momentum', 0.99998765, '0.9999877'),
        ('momentum', 1.0, '1.0000'),
        ('inter', math.nan, 'nan'),
        ('acc', 3, '3'),
    ],
)
def test_digits(name, value, text):
    assert format_value(name, value) == text


class Outputs(Hook):
    """Keeps the losses of each step, and what the log makes of them."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.tags = [], []

    def before_train(self, runner):
        original = runner.log_processor.get_log_after_iter
        runner.log_processor.get_log_after_iter = lambda *args: self.tags.append(original(*args)) or self.tags[-1]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: float(value) for name, value in outputs.items()})


def test_the_total_and_its_terms_are_smoothed_alike(tmp_path):
    kept = Outputs()
    hooks = [kept, dict(type='FLSLScheduleHook', momentum=dict(type='cosine', start=0.9, end=1.0))]
    runner = toy_runner(tmp_path, hooks, **LOGGED | dict(log_processor=dict(type='FLSLLogProcessor', window_size=3)))
    lines = messages_of(runner, runner.train)
    last, _ = kept.tags[-1]
    for name in ('loss', 'intra', 'inter', 'volume', 'teacher_entropy', 'marginal_entropy', 'prototypes_used'):
        assert last[name] == pytest.approx(sum(losses[name] for losses in kept.losses[-3:]) / 3, rel=1e-5), name
    momentum = 1 - (math.cos(math.pi * 7 / 8) + 1) / 2 * 0.1
    assert last['momentum'] == pytest.approx(momentum)
    line = next(line for line in lines if line.startswith('epoch 2/2, step 4/4'))
    assert f'| loss {last["loss"]:.4f} | momentum {momentum:.5f} ' in line
    assert 'images/s' in line
    assert line.endswith('0:00:00 left')


@pytest.mark.parametrize(('window', 'expected'), [(3, 5), (7, 7)])
def test_histories_keep_the_latest_values(window, expected, tmp_path, monkeypatch):
    monkeypatch.setattr('flsl_mm.engine.log_processor.MAX_HISTORY', 5)
    runner = toy_runner(tmp_path, [], **LOGGED | dict(log_processor=dict(type='FLSLLogProcessor', window_size=window)))
    runner.train()
    for name in ('train/loss', 'train/lr', 'train/time'):
        values, counts = runner.message_hub.get_scalar(name).data
        assert len(values) == len(counts) == expected
