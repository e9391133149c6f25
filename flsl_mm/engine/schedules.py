"""Scheduled values as pure functions of the training progress, hence exact after a resume."""

from __future__ import annotations

import math


def cosine(progress: float, start: float, end: float) -> float:
    """Move from ``start`` to ``end`` along half a cosine wave; ``progress`` in 0..1 is iteration / total iterations."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * progress))


def linear_by_epoch(epoch: int, start: float, end: float, epochs: int) -> float:
    """Move from ``start`` in epoch 0 to ``end`` in epoch ``epochs - 1`` in equal steps, and stay there."""
    if epochs <= 1:
        return end
    return start + (end - start) * min(epoch / (epochs - 1), 1.0)


def warmup_cosine(iteration: int, warmup: int, total: int, peak: float, end: float) -> float:
    """Rise linearly from 0 to ``peak`` at iteration ``warmup - 1``, then fall along a half-open cosine to ``end``.

    This is the schedule of DINO's and FLSL's code: the last iteration stays one step short of ``end``.
    """
    if iteration < warmup:
        return peak * iteration / (warmup - 1) if warmup > 1 else peak
    return cosine((iteration - warmup) / (total - warmup), peak, end)


def scaled_momentum(momentum: float, batch_size: int, base_batch_size: int) -> float:
    """Scale a teacher momentum to another batch size, ``momentum ** (batch / base)`` (Busbridge et al., 2307.13813)."""
    return momentum ** (batch_size / base_batch_size)
