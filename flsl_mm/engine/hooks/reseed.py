"""Makes the randomness of every iteration a function of seed, process and iteration."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class FLSLReseedHook(Hook):
    """Seeds torch before each iteration, so that a resumed run draws what the uninterrupted one would have drawn.

    Views, queries and drop path draw from torch's generators; with this hook no generator state has to be stored.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed with a mix of the run's seed, the process and the iteration."""
        # Multipliers are odd, so distinct (iteration, rank) pairs of one run cannot meet before 2**32 iterations.
        torch.manual_seed((runner.seed * 0x9E3779B97F4A7C15 + runner.iter * 0x100000001 + runner.rank) % 2**63)
