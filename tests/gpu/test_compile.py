"""Compiled blocks compute what the others do, with drop path, two sizes of views and the teacher."""

import pytest
import torch

from flsl_mm.engine.hooks.compile import compile_blocks

from .devices import flat, make_wrapper, take_step, trained

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

BACKENDS = {'cpu': 'aot_eager', 'cuda': 'inductor'}
"""The compiler of the CPU takes half a minute and is tested beside the hook."""


def test_compiled_training_is_training(device):
    plain, losses = trained(device)
    model, _ = trained(device, steps=0)
    wrapper = make_wrapper(model)
    model.attach_optimizer(wrapper.optimizer)
    torch.compiler.reset()
    compile_blocks(model, backend=BACKENDS[device])
    found = [take_step(model, wrapper, seed) for seed in range(3)]
    torch.compiler.reset()
    assert [step['loss'] for step in found] == pytest.approx([step['loss'] for step in losses], rel=1e-4)
    torch.testing.assert_close(flat(model), flat(plain), rtol=1e-3, atol=1e-4)
