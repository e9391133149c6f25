"""Says what is about to be trained, warns of collapse, and says in the end where everything is."""

from __future__ import annotations

import math
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .schedule import effective_batch_size, training_model


@HOOKS.register_module()
class FLSLReportHook(Hook):
    """Prints the run's key numbers at its start, watches for collapse, and lists the files at its end.

    Two collapses are told apart: every query spread over all prototypes (inter loss and teacher entropy near ln K),
    and all queries on few prototypes (marginal entropy near 0).

    Args:
        interval: Iterations between two looks at the losses.
        patience: Looks in a row that must show a collapse before it is reported.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, interval: int = 50, patience: int = 5) -> None:
        self.interval = interval
        self.patience = patience
        self.symptoms = {'uniform': 0, 'single': 0}

    def before_train(self, runner: Runner) -> None:
        """Print images, batch, learning rate, teacher momentum, K and steps per epoch."""
        model = training_model(runner)
        batch_size = effective_batch_size(runner)
        peak = max(group.get('initial_lr', group['lr']) for group in runner.optim_wrapper.optimizer.param_groups)
        runner.logger.info(
            f'{len(runner.train_dataloader.dataset):,} images | effective batch {batch_size} '
            f'({runner.train_dataloader.batch_size} x {runner.world_size} processes) | '
            f'peak lr {peak:.3g} | teacher momentum {model.momentum:.6g} | '
            f'K = {model.head.num_prototypes} prototypes | '
            f'{len(runner.train_dataloader)} steps per epoch, {runner.max_epochs} epochs, {runner.max_iters} steps'
        )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look for the two collapses now and then."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        ln_k = math.log(training_model(runner).head.num_prototypes)
        seen = {
            'uniform': float(outputs['inter']) > 0.995 * ln_k and float(outputs['teacher_entropy']) > 0.9 * ln_k,
            'single': float(outputs['marginal_entropy']) < 0.1 * ln_k,
        }
        advice = {
            'uniform': 'every query is spread over all prototypes: lower teacher_temp or raise the learning rate',
            'single': 'all queries fall on few prototypes: raise volume_weight or lower the learning rate',
        }
        for kind, is_seen in seen.items():
            self.symptoms[kind] = self.symptoms[kind] + 1 if is_seen else 0
            if self.symptoms[kind] == self.patience:
                runner.logger.warning(
                    f'collapse ({kind}) for {self.patience * self.interval} iterations: {advice[kind]} '
                    f'(inter {float(outputs["inter"]):.4f}, ln K {ln_k:.4f})'
                )

    @master_only
    def after_run(self, runner: Runner) -> None:
        """List checkpoint, backbone file, log and pictures."""
        info = runner.message_hub.runtime_info
        rows = {
            'checkpoint': info.get('last_ckpt'),
            'teacher backbone': info.get('last_backbone'),
            'JSON log': Path(runner.log_dir) / 'vis_data' / 'scalars.json',
            'picture': info.get('probe_picture'),
        }
        lines = [f'  {name:<17} {path}' for name, path in rows.items() if path is not None and Path(path).is_file()]
        runner.logger.info('Written:\n' + '\n'.join(lines))
