"""What an iteration draws does not depend on what was drawn before."""

from __future__ import annotations

import torch

from tests.selfsup.toy import toy_model
from tests.toy_run import toy_runner


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
