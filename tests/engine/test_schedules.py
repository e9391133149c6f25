"""Schedules: by hand and against the recorded arrays of the original program."""

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper

from flsl_mm.engine.schedules import FLSLWarmupCosineLR, cosine, linear_by_epoch, scaled_momentum, warmup_cosine
from tests.builders.reference import cosine_end, load


def test_by_hand():
    assert [cosine(progress, 2.0, 4.0) for progress in (0, 0.5, 1)] == pytest.approx([2, 3, 4])
    assert [linear_by_epoch(epoch, 1.0, 3.0, 3) for epoch in range(5)] == [1, 2, 3, 3, 3]
    assert linear_by_epoch(0, 1.0, 3.0, 1) == 3.0
    assert [warmup_cosine(i, 3, 5, 8.0, 0.0) for i in range(5)] == pytest.approx([0, 4, 8, 8, 4])
    assert warmup_cosine(0, 0, 5, 8.0, 0.0) == 8.0
    assert scaled_momentum(0.81, 256, 512) == pytest.approx(0.9)
    assert scaled_momentum(0.9, 1024, 512) == pytest.approx(0.81)


def cosine_warmup_of(recorded: np.ndarray) -> list[float]:
    warmup = int(recorded.argmax()) + 1
    peak, end = recorded.max(), cosine_end(recorded[warmup:])
    return [warmup_cosine(i, warmup, len(recorded), peak, end) for i in range(len(recorded))]


@pytest.mark.recorded
def test_recorded_schedules():
    """Ours are half-open as the original's, so they agree in every iteration, not only to within one."""
    recorded = load('schedules')
    np.testing.assert_allclose(cosine_warmup_of(recorded['lr']), recorded['lr'], rtol=1e-9, atol=1e-12)
    for name in ('weight_decay', 'momentum', 'intra_coefficient'):
        values = recorded[name]
        ours = [cosine(i / len(values), values[0], cosine_end(values)) for i in range(len(values))]
        np.testing.assert_allclose(ours, values, rtol=1e-9, atol=1e-12)
    temps = recorded['teacher_temp']
    epochs = int(temps.argmax()) + 1
    ours = [linear_by_epoch(epoch, temps[0], temps[-1], epochs) for epoch in range(len(temps))]
    np.testing.assert_allclose(ours, temps)


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
