"""Standard errors of figures over images (pure functions)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def share(counts: Tensor) -> Tensor:
    """Divide the first of two numbers by the second: what is right of how many; (..., 2) to (...)."""
    return counts[..., 0].double() / counts[..., 1]


def bootstrap_error(
    counts: Tensor, figure: Callable[[Tensor], Tensor] = share, resamples: int = 200, seed: int = 0
) -> float:
    """Estimate a figure's standard error by drawing as many images anew, with replacement (Efron, 1979).

    Args:
        counts: What each image adds to the sums that the figure is computed from (N, ...).
        figure: Computes the figure of each set of sums, (R, ...) to (R,).
        resamples: Number of draws R.
        seed: Seed of the draws.

    Returns:
        Standard deviation of the figure over the draws; NaN for fewer than two images.
    """
    if len(counts) < 2:
        return float('nan')
    counts = counts.double().cpu()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(counts), (resamples, len(counts)), generator=generator)
    times = torch.zeros(resamples, len(counts), dtype=torch.double)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    return float(figure((times @ counts.flatten(1)).unflatten(1, counts.shape[1:])).std())
