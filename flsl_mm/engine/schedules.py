"""Schedules as pure functions of the training progress, hence exact after a resume."""

from __future__ import annotations

import math

from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS


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


@PARAM_SCHEDULERS.register_module()
class FLSLWarmupCosineLR(_ParamScheduler):
    """Linear warm-up over a share of the run, then cosine, per iteration (see :func:`warmup_cosine`).

    Unlike a pair of library schedulers it has no epoch numbers of its own, so that overriding ``max_epochs`` keeps the
    shape. Use with ``by_epoch=True, convert_to_iter_based=True``; ``end`` is then filled in by the Runner.

    Args:
        optimizer: Optimizer or wrapper whose learning rates are set.
        warmup_ratio: Share of all iterations spent warming up, 0 to 1.
        eta_min: Learning rate at the end.
        end: Number of iterations.
        **kwargs: As of MMEngine's parameter schedulers.
    """

    def __init__(self, optimizer, warmup_ratio: float = 0.1, eta_min: float = 1e-6, *, end: int, **kwargs) -> None:
        self.warmup = round(warmup_ratio * end)
        self.eta_min = eta_min
        super().__init__(optimizer, 'lr', end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(cls, *args, end: int, epoch_length: int, by_epoch: bool = True, **kwargs):
        """Build the schedule for ``end`` epochs of ``epoch_length`` iterations."""
        return cls(*args, end=end * epoch_length, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        return [warmup_cosine(self.last_step, self.warmup, self.end, peak, self.eta_min) for peak in self.base_values]
