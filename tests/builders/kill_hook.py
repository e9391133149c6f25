"""A hook for configs that programs of their own read: one process of a job dies."""

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillRankHook(Hook):
    """Kills the process of a rank when an iteration begins, once: the file ``mark`` says that it has."""

    def __init__(self, rank: int, iteration: int, mark: str) -> None:
        self.rank = rank
        self.iteration = iteration
        self.mark = mark

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.rank, runner.iter) == (self.rank, self.iteration) and not os.path.exists(self.mark):
            open(self.mark, 'w').close()
            os.kill(os.getpid(), signal.SIGKILL)
