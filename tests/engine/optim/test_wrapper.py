"""Clipping per parameter tensor, and mixed precision that falls back to float32."""

import pytest
import torch
from torch import nn

from flsl_mm.engine.optim import FLSLAmpOptimWrapper, FLSLOptimWrapper
from flsl_mm.engine.optim.wrapper import clip_each


def test_each_gradient_is_clipped_by_its_own_norm():
    gradients = [torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4]), torch.full((2, 2), 10.0)]
    mean = clip_each(gradients, 1.0)
    torch.testing.assert_close(gradients[0], torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(gradients[1], torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(gradients[2], torch.full((2, 2), 0.5))
    assert mean.item() == pytest.approx((5 + 0.5 + 20) / 3)


@pytest.mark.parametrize('kind', [FLSLOptimWrapper, FLSLAmpOptimWrapper])
def test_wrappers_clip_before_the_step(kind):
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    wrapper = kind(optimizer=torch.optim.SGD(parameters, lr=1.0), clip_grad=dict(max_norm=1.0))
    loss = (torch.tensor([3.0, 4.0]) * parameters[0] + torch.tensor([0.3, 0.4]) * parameters[1]).sum()
    wrapper.update_params(loss)
    torch.testing.assert_close(parameters[0].data, torch.tensor([-0.6, -0.8]))
    torch.testing.assert_close(parameters[1].data, torch.tensor([-0.3, -0.4]))
    assert parameters[0].grad is None
    state = wrapper.state_dict()
    wrapper.load_state_dict(state)


@pytest.mark.parametrize(
    ('clip_grad', 'expected'),
    [
        (dict(type='value', clip_value=0.5), [-0.5, -0.5]),
        (dict(max_norm=1.0, norm_type=1), [-3 / 7, -4 / 7]),
        (dict(max_norm=1.0, norm_type=float('inf')), [-0.75, -1.0]),
    ],
)
def test_the_other_ways_to_clip_that_mmengine_has(clip_grad, expected):
    parameter = nn.Parameter(torch.zeros(2))
    wrapper = FLSLOptimWrapper(optimizer=torch.optim.SGD([parameter], lr=1.0), clip_grad=clip_grad)
    wrapper.update_params((torch.tensor([3.0, 4.0]) * parameter).sum())
    torch.testing.assert_close(parameter.data, torch.tensor(expected))
    wrapper.update_params((torch.tensor([3.0, float('nan')]) * parameter).sum())
    assert wrapper.skipped_steps == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason='speaks of machines without an accelerator')
def test_mixed_precision_says_that_it_runs_in_float32_here(monkeypatch):
    lines = []
    monkeypatch.setattr('flsl_mm.engine.optim.wrapper.print_log', lambda line, logger: lines.append(line))
    layer = nn.Linear(2, 2)
    wrapper = FLSLAmpOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    assert len(lines) == 1
    assert 'no accelerator found' in lines[0]
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason='speaks of machines without an accelerator')
@pytest.mark.parametrize('native', [True, False])
def test_the_cpu_computes_in_bfloat16_where_it_can_and_is_told_to(monkeypatch, native):
    monkeypatch.setattr('flsl_mm.engine.optim.wrapper.cpu_has_bfloat16', lambda: native)
    layer = nn.Linear(2, 2)
    wrapper = FLSLAmpOptimWrapper(cpu_dtype='bfloat16', optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2)).dtype == (torch.bfloat16 if native else torch.float32)
    assert layer(torch.ones(1, 2)).dtype == torch.float32
    with pytest.raises(ValueError, match='cpu_dtype'):
        FLSLAmpOptimWrapper(cpu_dtype='float16', optimizer=wrapper.optimizer)


def test_float16_goes_on_where_a_run_without_an_accelerator_stopped():
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    state = FLSLAmpOptimWrapper(dtype='float16', optimizer=optimizer).state_dict()
    assert state['loss_scaler'] == {}
    scaled = FLSLAmpOptimWrapper(dtype='float16', optimizer=optimizer)
    scaled.loss_scaler = torch.amp.GradScaler('cpu', init_scale=8.0)
    scaled.load_state_dict(state)
    assert scaled.loss_scaler.get_scale() == 8
    FLSLAmpOptimWrapper(dtype='float16', optimizer=optimizer).load_state_dict(scaled.state_dict())
