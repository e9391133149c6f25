"""Bounds the log histories that MMEngine keeps in memory and in checkpoints."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class FLSLHistoryHook(Hook):
    """Keeps the latest values of each logged number instead of a million.

    MMEngine copies each history, up to a million values, at each iteration and puts all of them into each checkpoint.
    The log files keep every logged value in any case.

    Args:
        max_length: Number of values to keep; not less than the log's smoothing window.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_length: int = 1000) -> None:
        self.max_length = max_length

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the bound on all histories, new ones included; they shorten themselves with the next value."""
        length = max(self.max_length, runner.log_processor.window_size)
        for history in runner.message_hub.log_scalars.values():
            history.max_length = length
