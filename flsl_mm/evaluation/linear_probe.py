"""A linear classifier on frozen features (pure functions)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class LinearProbe:
    """A classifier ``((x - mean) / std) @ weight + bias``.

    Attributes:
        mean: Mean of the training features (C,).
        std: Their standard deviation (C,).
        weight: Weights (C, num_classes).
        bias: Biases (num_classes,).
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits (M, num_classes) of features (M, C)."""
        return ((features.float() - self.mean) / self.std) @ self.weight + self.bias


def fit_linear_probe(
    features: Tensor, labels: Tensor, num_classes: int, weight_decay: float = 1e-4, iterations: int = 100
) -> LinearProbe:
    """Fit multinomial logistic regression on standardized features, all of them at once, with L-BFGS.

    Nothing is drawn: the same features give the same classifier.

    Args:
        features: Training features (N, C).
        labels: Their classes (N,), 0 to ``num_classes`` - 1.
        num_classes: Number of classes.
        weight_decay: Half of it times the squared weights is added to the mean cross-entropy.
        iterations: Most iterations of L-BFGS.

    Returns:
        The classifier.
    """
    mean, std = features.double().mean(0).float(), features.double().std(0).float()
    # A channel that varies by no more than rounding says nothing.
    std = torch.where(std > 1e-5 * mean.abs().clamp_min(1e-5), std, torch.inf)
    features = (features.float() - mean) / std
    weight = features.new_zeros(features.shape[1], num_classes, requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn='strong_wolfe')

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(features @ weight + bias, labels) + 0.5 * weight_decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return LinearProbe(mean, std, weight.detach(), bias.detach())
