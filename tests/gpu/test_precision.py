"""Steps in lower precision against float32 on the CPU, and the loss scaler."""

import copy

import pytest
import torch
from torch import nn

from flsl_mm.engine.optim import FLSLAmpOptimWrapper
from tests.builders.checkpoints import same

from .devices import CONTENT, JITTERED, flat, make_wrapper, needs_gpu, take_step, trained

pytestmark = pytest.mark.gpu

TOLERANCES = {'float32': (1e-4, 0.9999), 'float16': (5e-3, 0.99), 'bfloat16': (3e-2, 0.95)}
"""Largest relative difference of a loss to float32 on the CPU, and least cosine of what three steps changed."""


@pytest.mark.parametrize('options', [{}, JITTERED, CONTENT], ids=['paper', 'jittered', 'content'])
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
        assert same((layer.state_dict(), optimizer.state_dict()['state']), before)
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
    assert same((model.state_dict(), wrapper.optimizer.state_dict()['state']), before)
    handle.remove()
    take_step(model, wrapper, seed=2)
    assert not torch.equal(model.teacher.head.mlp[0].weight, before[0]['teacher.head.mlp.0.weight'])


@needs_gpu
def test_mixed_precision_uses_bfloat16_on_an_accelerator():
    layer = nn.Linear(2, 2).cuda()
    wrapper = FLSLAmpOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2).cuda()).dtype == torch.bfloat16
