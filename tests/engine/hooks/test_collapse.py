"""Both kinds of collapse are told apart, once, and a recovery starts the count anew."""

from __future__ import annotations

import math

import pytest
import torch

from flsl_mm.engine.hooks import FLSLCollapseHook
from tests.toy_run import messages_of, toy_runner


@pytest.mark.parametrize(
    ('values', 'word'),
    [
        (dict(inter=math.log(10), teacher_entropy=math.log(10), marginal_entropy=math.log(10)), 'uniform'),
        (dict(inter=0.0, teacher_entropy=0.0, marginal_entropy=0.0), 'single'),
        (dict(inter=1.0, teacher_entropy=0.5, marginal_entropy=2.2), None),
    ],
)
def test_collapse_is_reported_once(tmp_path, values, word):
    hook = FLSLCollapseHook(interval=1, patience=2)
    runner = toy_runner(tmp_path, [])
    outputs = {key: torch.tensor(value) for key, value in values.items()}
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    lines = messages_of(runner, lambda: [hook.after_train_iter(runner, 0, outputs=outputs) for _ in range(6)])
    warned = [line for line in lines if line.startswith('collapse')]
    assert [f'({word})' in line for line in warned] == ([True] if word else [])
    assert all('for 2 iterations: ' in line for line in warned)


def test_a_recovery_in_between_starts_the_count_anew(tmp_path):
    hook = FLSLCollapseHook(interval=1, patience=2)
    runner = toy_runner(tmp_path, [])
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    healthy, collapsed = (
        {'inter': torch.tensor(1.0), 'teacher_entropy': torch.tensor(0.5), 'marginal_entropy': torch.tensor(marginal)}
        for marginal in (2.2, 0.0)
    )

    def look(*outputs):
        return messages_of(runner, lambda: [hook.after_train_iter(runner, 0, outputs=output) for output in outputs])

    assert not look(collapsed, healthy, collapsed)
    assert [line.startswith('collapse (single)') for line in look(collapsed)] == [True]
