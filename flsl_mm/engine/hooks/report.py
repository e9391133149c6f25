"""Says what is about to be trained, and in the end which images could not be used and where everything is."""

from __future__ import annotations

import math
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.datasets.images import read_skipped
from flsl_mm.utils.mm import unwrap

from .schedule import accumulated_batches, effective_batch_size, teacher_initial_share

LEAST_VOLUME_IMAGES = 64
"""Below as many images per step, the marginal of a batch says little about that of the data."""

SKIPPED = 'skipped_images.txt'
"""List of the image files that could not be used, in the work folder; each line is a path, a tab and the reason."""


@HOOKS.register_module()
class FLSLReportHook(Hook):
    """Prints a pretraining run's key numbers at its start, and lists what was skipped and what was written at its end.

    A step is the optimizer's, of as many batches as it accumulates. :class:`~flsl_mm.datasets.FLSLImages` is told to
    list the files that it skips in the work folder.
    """

    priority = 'BELOW_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Print images, batch, learning rate, teacher momentum, K and steps per epoch, and name the list of files."""
        model, loader = unwrap(runner.model), runner.train_dataloader
        accumulated = accumulated_batches(runner)
        batches = f' of {accumulated} batches' if accumulated > 1 else ''
        peak = max(group.get('initial_lr', group['lr']) for group in runner.optim_wrapper.optimizer.param_groups)
        runner.logger.info(
            f'{len(loader.dataset):,} images | effective batch {effective_batch_size(runner)} '
            f'({loader.batch_size} x {runner.world_size} processes{batches and f" x {accumulated} batches"}) | '
            f'peak lr {peak:.3g} | teacher momentum {model.momentum:.6g} | '
            f'K = {model.head.num_prototypes} prototypes | '
            f'{len(loader) / accumulated:.10g} steps{batches} per epoch, {runner.max_epochs} epochs, '
            f'{math.ceil(runner.max_iters / accumulated)} steps'
        )
        for line in self.warnings(runner):
            runner.logger.warning(line)
        # Before loader workers start; data sets that skip nothing are left alone.
        if hasattr(loader.dataset, 'skipped_log'):
            loader.dataset.skipped_log = Path(runner.work_dir) / SKIPPED

    def warnings(self, runner: Runner) -> list[str]:
        """List what of a run's length and batch will keep it from learning."""
        model, lines = unwrap(runner.model), []
        initial = teacher_initial_share(runner)
        if initial > 0.1:
            steps = runner.max_iters // accumulated_batches(runner)
            lines.append(
                f'{initial:.0%} of the teacher will still be its initial weights after {steps} steps: train longer, or '
                f'set default_hooks.schedule.momentum.start to {max(1 - 6 / steps, 0.5):.3g} or less, with '
                'base_batch_size=None'
            )
        images = runner.train_dataloader.batch_size * runner.world_size
        if model.volume_weight and images < LEAST_VOLUME_IMAGES:
            lines.append(
                f'the volume term sees {images} images (a batch of all processes; accumulated batches do not widen '
                "it): for so few, assignment='sinkhorn' with volume_weight=0 is the safer choice"
            )
        return lines

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Return how many files were skipped since the run began, earlier parts of a resumed one included."""
        log = Path(runner.work_dir) / SKIPPED
        skipped = read_skipped(log)
        if skipped:
            total = len(runner.train_dataloader.dataset)
            runner.logger.warning(f'{len(skipped)} of {total} image files could not be used; they are listed in {log}')

    @master_only
    def after_run(self, runner: Runner) -> None:
        """List checkpoint, backbone file, log and figure, which other hooks have written by now."""
        info = runner.message_hub.runtime_info
        rows = {
            'checkpoint': info.get('last_ckpt'),
            'teacher backbone': info.get('last_backbone'),
            'JSON log': Path(runner.log_dir) / 'vis_data' / 'scalars.json',
            'figure': info.get('probe_figure'),
        }
        lines = [f'  {name:<17} {path}' for name, path in rows.items() if path is not None and Path(path).is_file()]
        runner.logger.info('Written:\n' + '\n'.join(lines))
