"""The linear probe: learns what is linear, nothing from constants, at the optimum."""

import torch

from flsl_mm.evaluation.knn import accuracy
from flsl_mm.evaluation.linear_probe import fit_linear_probe

GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(2000, 5, generator=GENERATOR) * torch.tensor([1.0, 100.0, 1.0, 1.0, 1.0]) + 7
LABELS = (FEATURES[:, 0] > 7).long() + 2 * (FEATURES[:, 2] > 7).long()


def test_what_a_line_separates_and_constants():
    probe = fit_linear_probe(FEATURES, LABELS, 4)
    assert accuracy(probe(FEATURES).argmax(-1), LABELS) > 0.9
    labels = torch.arange(300) % 3
    probe = fit_linear_probe(torch.ones(300, 4), labels, 3)
    assert accuracy(probe(torch.ones(300, 4)).argmax(-1), labels) == 1 / 3


def test_the_scale_of_a_channel_changes_nothing():
    scaled = FEATURES * torch.tensor([1.0, 1.0, 1e-3, 1.0, 1e3])
    first, second = fit_linear_probe(FEATURES, LABELS, 4), fit_linear_probe(scaled, LABELS, 4)
    torch.testing.assert_close(first(FEATURES), second(scaled), rtol=0, atol=0.02)


def test_the_fit_is_a_stationary_point():
    probe = fit_linear_probe(FEATURES, LABELS, 4, weight_decay=1e-2)
    standard = (FEATURES - probe.mean) / probe.std
    error = probe(FEATURES).softmax(-1) - torch.eye(4)[LABELS]
    gradient = standard.T @ error / len(FEATURES) + 1e-2 * probe.weight
    assert gradient.abs().max() < 1e-3


def test_channels_that_only_rounding_moves_say_nothing():
    """Slow waves of a position table are 1 but for a millionth; divided by their spread, they hid the others."""
    almost = 1 + 2e-7 * torch.randn(2000, 3, generator=torch.Generator().manual_seed(1))
    both = fit_linear_probe(torch.cat([FEATURES, almost], dim=1), LABELS, 4)
    torch.testing.assert_close(both.weight[:5], fit_linear_probe(FEATURES, LABELS, 4).weight, atol=0.02, rtol=0)
    assert both.weight[5:].abs().max() == 0
