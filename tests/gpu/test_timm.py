"""timm's vision transformers: the tokens of the CPU, and a gradient for every parameter."""

import copy

import pytest
import torch

from tests.builders.timm_families import every_family, tiny_timm

pytestmark = pytest.mark.gpu


@every_family
def test_tokens_are_those_of_the_cpu(device, name):
    reference = tiny_timm(name)
    images = torch.randn(2, 3, 3 * reference.patch_size, 4 * reference.patch_size)
    (expected,) = reference(images)
    model = copy.deepcopy(reference).to(device)
    (given,) = model(images.to(device))
    torch.testing.assert_close(given.cpu(), expected, rtol=1e-3, atol=1e-3)
    given.square().mean().backward()
    assert [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None] == []
