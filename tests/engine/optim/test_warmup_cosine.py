"""The schedule as MMEngine's scheduler: the shape follows the length of the run."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper

from flsl_mm.engine.optim import FLSLWarmupCosineLR
from flsl_mm.engine.schedules import warmup_cosine


def test_scheduler_follows_the_length_of_the_run_and_resumes():
    def build(epochs: int):
        wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=8.0))
        options = dict(warmup_ratio=0.2, eta_min=0.0, end=epochs, epoch_length=5)
        return wrapper, FLSLWarmupCosineLR.build_iter_from_epoch(wrapper, **options)

    def run(wrapper, scheduler, count: int) -> list[float]:
        rates = []
        for _ in range(count):
            rates.append(wrapper.param_groups[0]['lr'])
            wrapper.step()
            scheduler.step()
        return rates

    for epochs in (2, 4):
        expected = [warmup_cosine(i, epochs, 5 * epochs, 8.0, 0.0) for i in range(5 * epochs)]
        assert run(*build(epochs), 5 * epochs) == pytest.approx(expected)
    wrapper, scheduler = build(2)
    run(wrapper, scheduler, 4)
    resumed, fresh = build(2)
    fresh.load_state_dict(scheduler.state_dict())
    resumed.param_groups[0]['lr'] = wrapper.param_groups[0]['lr']
    assert run(resumed, fresh, 6) == run(wrapper, scheduler, 6)
