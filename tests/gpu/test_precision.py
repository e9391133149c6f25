"""Steps in lower precision against float32 on the CPU, the loss scaler, and AdamW in one kernel."""

import copy

import pytest
import torch
from torch import nn

from flsl_mm.engine.optim import FLSLAmpOptimWrapper

from .devices import JITTERED, flat, make_wrapper, needs_gpu, take_step, trained

pytestmark = pytest.mark.gpu

TOLERANCES = {'float32': (1e-4, 0.9999), 'float16': (5e-3, 0.99), 'bfloat16': (3e-2, 0.95)}
"""Largest relative difference of a loss to float32 on the CPU, and least cosine of what three steps changed."""


@pytest.mark.parametrize('options', [{}, JITTERED], ids=['paper', 'jittered'])
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_steps_are_those_of_float32_on_the_cpu(device, dtype, options, record_property):
    options = dict(options, backbone=dict(options.get('backbone', {}), drop_path_rate=0.0))
    start = flat(trained('cpu', steps=0, **options)[0])
    expected, expected_losses = trained('cpu', **options)
    model, losses = trained(device, dtype, **options)
    largest = max(abs(a['loss'] - b['loss']) / abs(b['loss']) for a, b in zip(losses, expected_losses, strict=True))
    cosine = torch.cosine_similarity(flat(model) - start, flat(expected) - start, dim=0).item()
    record_property('largest relative difference of a loss', f'{largest:.1e}')
    record_property('cosine of the changes', f'{cosine:.5f}')
    tolerance, least = TOLERANCES[dtype]
    assert largest <= tolerance
    assert cosine >= least


def test_the_scaler_leaves_out_a_step_and_halves_its_scale(device):
    layer = nn.Linear(4, 2).to(device)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    wrapper = FLSLAmpOptimWrapper(dtype='float16', optimizer=optimizer)
    wrapper.loss_scaler = torch.amp.GradScaler(device, init_scale=4.0)
    images = torch.ones(3, 4, device=device)
    wrapper.update_params(layer(images).sum())
    before = copy.deepcopy((layer.state_dict(), optimizer.state_dict()['state']))
    for scale, skipped in ((2.0, 0), (1.0, 0), (0.5, 1)):  # at a scale of 1 it is not the scale's fault
        wrapper.update_params(layer(images).sum() * torch.inf)
        assert (wrapper.loss_scaler.get_scale(), wrapper.skipped_steps) == (scale, skipped)
        assert all(torch.equal(value, before[0][name]) for name, value in layer.state_dict().items())
        for number, state in optimizer.state_dict()['state'].items():
            assert all(torch.equal(value, before[1][number][name]) for name, value in state.items())
    wrapper.update_params(layer(images).sum())
    assert wrapper.skipped_in_a_row == 0
    assert not torch.equal(layer.weight, before[0]['weight'])


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
def test_a_step_on_nan_changes_nothing(device, dtype):
    """Student, teacher and optimizer stay bit for bit."""
    model, _ = trained(device, steps=0)
    wrapper = make_wrapper(model, dtype)
    model.attach_optimizer(wrapper.optimizer)
    take_step(model, wrapper, seed=0)
    before = copy.deepcopy((model.state_dict(), wrapper.optimizer.state_dict()['state']))
    handle = model.backbone.patch_embed.proj.weight.register_hook(lambda gradient: gradient * torch.nan)
    take_step(model, wrapper, seed=1)
    assert all(torch.equal(value, before[0][name]) for name, value in model.state_dict().items())
    for number, state in wrapper.optimizer.state_dict()['state'].items():
        assert all(torch.equal(value, before[1][number][name]) for name, value in state.items())
    handle.remove()
    take_step(model, wrapper, seed=2)
    assert not torch.equal(model.teacher.head.mlp[0].weight, before[0]['teacher.head.mlp.0.weight'])


def test_adamw_in_one_kernel_is_adamw(device):
    ends = []
    for fused in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(64, 32).to(device)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2, weight_decay=0.1, fused=fused)
        for seed in range(5):
            images = torch.randn(8, 64, generator=torch.Generator().manual_seed(seed)).to(device)
            layer(images).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        ends.append(layer.weight.detach())
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-5, atol=1e-6)


@needs_gpu
def test_mixed_precision_uses_bfloat16_on_an_accelerator():
    layer = nn.Linear(2, 2).cuda()
    wrapper = FLSLAmpOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2).cuda()).dtype == torch.bfloat16
