"""Warns while a pretraining run collapses."""

from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .schedule import training_model

ADVICE = {
    'uniform': 'every query is spread over all prototypes: lower teacher_temp or raise the learning rate',
    'single': 'all queries fall on few prototypes: raise volume_weight or lower the learning rate',
}


@HOOKS.register_module()
class FLSLCollapseHook(Hook):
    """Tells two collapses apart: every query spread over all prototypes, and all queries on few prototypes.

    In the first, inter-view loss and teacher entropy are near ln K; in the second, the marginal entropy is near 0.

    Args:
        interval: Iterations between two looks at the losses.
        patience: Looks in a row that must show a collapse before it is reported.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, interval: int = 50, patience: int = 5) -> None:
        self.interval = interval
        self.patience = patience
        self.symptoms = dict.fromkeys(ADVICE, 0)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look at the losses now and then."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        ln_k = math.log(training_model(runner).head.num_prototypes)
        inter, teacher, marginal = (float(outputs[name]) for name in ('inter', 'teacher_entropy', 'marginal_entropy'))
        seen = {'uniform': inter > 0.995 * ln_k and teacher > 0.9 * ln_k, 'single': marginal < 0.1 * ln_k}
        for kind, is_seen in seen.items():
            self.symptoms[kind] = self.symptoms[kind] + 1 if is_seen else 0
            if self.symptoms[kind] == self.patience:
                runner.logger.warning(
                    f'collapse ({kind}) for {self.patience * self.interval} iterations: {ADVICE[kind]} '
                    f'(inter {inter:.4f}, ln K {ln_k:.4f})'
                )
