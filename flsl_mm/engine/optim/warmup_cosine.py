"""Learning-rate schedule that follows ``max_epochs`` by itself."""

from __future__ import annotations

from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

from ..schedules import warmup_cosine


@PARAM_SCHEDULERS.register_module()
class FLSLWarmupCosineLR(_ParamScheduler):
    """Linear warm-up over a share of the run, then cosine, per iteration (see :func:`.schedules.warmup_cosine`).

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
