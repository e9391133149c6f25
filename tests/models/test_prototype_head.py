"""The prototype head: cosines against unit prototypes, by hand, and what is learned."""

import math

import pytest
import torch

from flsl_mm.models import FLSLHead


def head(**options) -> FLSLHead:
    torch.manual_seed(0)
    sizes = dict(in_channels=6, num_prototypes=5, hidden_channels=(8,), bottleneck_channels=4)
    return FLSLHead(**sizes | options)


def test_logits_by_hand():
    """Without hidden layers the MLP is one linear map; here the identity."""
    one = head(in_channels=2, hidden_channels=(), bottleneck_channels=2, num_prototypes=2)
    with torch.no_grad():
        one.mlp[0].weight.copy_(torch.eye(2))
        one.last_layer.weight = torch.tensor([[3.0, 0.0], [5.0, 5.0]])  # any lengths
        one.last_layer.parametrizations.weight.original0.fill_(1)
    logits = one(torch.tensor([[[2.0, 0.0], [0.0, 7.0]]]))
    torch.testing.assert_close(logits, torch.tensor([[[1.0, math.sqrt(0.5)], [0.0, math.sqrt(0.5)]]]))


def test_logits_are_cosines_whatever_the_lengths():
    modes = torch.randn(3, 7, 6) * torch.tensor([0.01, 1.0, 1000.0])[:, None, None]
    logits = head()(modes)
    assert logits.shape == (3, 7, 5)
    assert logits.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize('fixed', [True, False])
def test_norms_of_prototypes_stay_one_unless_they_are_learned(fixed):
    one = head(norm_last_layer=fixed)
    optimizer = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], lr=1.0)
    before = one.last_layer.weight.detach().clone()
    (one(torch.randn(20, 6)) ** 2).mean().backward()
    optimizer.step()
    norms = one.last_layer.weight.detach().norm(dim=1)
    assert not torch.equal(one.last_layer.weight, before)
    assert torch.allclose(norms, torch.ones(5), atol=1e-6) == fixed


@pytest.mark.parametrize(
    'options', [dict(num_prototypes=0), dict(hidden_channels=(8, 0)), dict(bottleneck_channels=-1)]
)
def test_sizes_below_one_are_refused(options):
    with pytest.raises(ValueError, match='must be positive'):
        head(**options)
