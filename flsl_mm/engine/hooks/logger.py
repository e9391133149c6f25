"""Logging of a run: its start, then a progress bar in a terminal or lines elsewhere, and what it has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from flsl_mm.utils import console
from flsl_mm.utils.mm import unwrap
from flsl_mm.utils.terminal import Pace
from flsl_mm.utils.work_folder import SKIPPED

from .. import report
from ..log_processor import VerdictSoFar, batch_size_of, images_per_step
from .schedule import is_pretraining

REFRESH = 5
"""Seconds between two readings of the loss for the bar; on a GPU, a reading waits for the step."""


@HOOKS.register_module()
class FLSLLoggerHook(LoggerHook):
    """MMEngine's ``LoggerHook`` that shows a person little: what runs on what, then a bar, or lines.

    In a terminal a bar has steps, time left, images per second, loss and the verdict so far; while a model is validated
    or tested, a bar has images, time left and speed. Elsewhere a line is printed every ``interval`` steps, and where
    steps are slow every half minute. The log file gets the lines in any case, and all that MMEngine logs of itself. A
    pretraining says its key numbers at the start, and at the end which images were skipped, which
    :class:`~flsl_mm.datasets.FLSLImages` lists in the work folder, and what was written.

    Args:
        *args: As of ``LoggerHook``.
        verbose: Whether the console shows all that the log file gets.
        **kwargs: As of ``LoggerHook``.
    """

    def __init__(self, *args, verbose: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.verbose = verbose
        self.verdict = VerdictSoFar()
        self.bar: tqdm | None = None
        self.images: tqdm | None = None  # the bar of validation and testing
        self.read_at = 0.0
        self.pace = Pace()  # of the lines where no bar is shown

    def before_run(self, runner: Runner) -> None:
        """Describe what is going to run."""
        super().before_run(runner)
        if isinstance(runner._train_loop, IterBasedTrainLoop):
            self.log_metric_by_epoch = False
        console.use_short_lines(runner.logger, self.verbose)
        for line in report.startup_lines(runner):
            runner.logger.info(line)

    def before_train(self, runner: Runner) -> None:
        """Describe a pretraining, and name the list of skipped files before loader workers start."""
        if is_pretraining(runner.model):
            runner.logger.info(report.pretraining_line(runner))
            for line in report.pretraining_warnings(runner):
                runner.logger.warning(line)
        dataset = runner.train_dataloader.dataset
        if hasattr(dataset, 'skipped_log'):
            dataset.skipped_log = Path(runner.work_dir) / SKIPPED

    def before_train_epoch(self, runner: Runner) -> None:
        """Show the bar, once all hooks have logged their lines."""
        self.pace.told()
        if self.bar is None and is_main_process() and console.is_terminal():
            self.bar = console.open_bar(runner.max_iters, runner.iter, 'training')

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Log as MMEngine's hook does, and move the bar."""
        if self.bar is not None:
            self.bar.update()
            elapsed = self.bar.format_dict['elapsed']
            if elapsed - self.read_at > REFRESH or self.bar.n in (1, self.bar.total):
                self.read_at = elapsed
                self.bar.set_postfix_str(self.progress_text(runner, outputs))  # drawn now: some text is said once
        with console.hidden(self.bar is not None):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self.slow_line(runner, batch_idx, 'train')

    def slow_line(self, runner: Runner, batch_idx: int, mode: str) -> None:
        """Show a line of a step between those of every ``interval`` steps, where no bar shows how far a run is."""
        loader = getattr(runner, f'{mode}_dataloader')
        if self.every_n_inner_iters(batch_idx, self.interval) or self.end_of_epoch(loader, batch_idx):
            self.pace.told()
        elif not console.is_terminal() and self.pace.due():
            self.pace.told()
            runner.logger.info(runner.log_processor.get_log_after_iter(runner, batch_idx, mode)[1])

    def progress_text(self, runner: Runner, outputs: dict | None) -> str:
        """Write what the bar shows beside steps and time."""
        parts = []
        if self.bar.format_dict['rate'] or self.bar.format_dict['elapsed']:
            done = self.bar.n - self.bar.initial
            parts.append(f'{images_per_step(runner) * done / self.bar.format_dict["elapsed"]:.3g} images/s')
        losses = runner.message_hub.log_scalars.get('train/loss')
        if losses is not None:
            parts.append(f'loss {losses.mean(runner.log_processor.window_size):.4g}')
        parts.append(self.verdict.text(runner))
        return ', '.join(part for part in parts if part)

    def before_val_epoch(self, runner: Runner) -> None:
        """Show the bar of the images in the place of the training's."""
        console.pause_bar(self.bar)
        self.open_images(runner, runner.val_dataloader, 'validating')

    def before_test_epoch(self, runner: Runner) -> None:
        """Show the bar of the images."""
        self.open_images(runner, runner.test_dataloader, 'testing')

    def open_images(self, runner: Runner, loader: DataLoader, name: str) -> None:
        """Show a bar of the images of a data set, unless the model shows one of its own."""
        self.pace.told()
        model = unwrap(runner.model)
        if is_main_process() and console.is_terminal() and not getattr(model, 'progress', False):
            self.images = console.open_bar(len(loader.dataset), name=name, unit=' images', place=0)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Log as MMEngine's hook does, and move the bar."""
        with console.hidden(console.is_terminal()):
            super().after_val_iter(runner, batch_idx, data_batch, outputs)
        self.slow_line(runner, batch_idx, 'val')
        self.move_images(runner, runner.val_dataloader, batch_idx)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Log as MMEngine's hook does, and move the bar."""
        with console.hidden(console.is_terminal()):
            super().after_test_iter(runner, batch_idx, data_batch, outputs)
        self.slow_line(runner, batch_idx, 'test')
        self.move_images(runner, runner.test_dataloader, batch_idx)

    def move_images(self, runner: Runner, loader: DataLoader, batch_idx: int) -> None:
        """Move the bar of the images; metrics, which print, find it left as it stands."""
        if self.images is None:
            return
        batch = batch_size_of(loader) * runner.world_size
        self.images.update(min(batch, self.images.total - self.images.n))
        if batch_idx + 1 == len(loader):
            console.close_bar(self.images)
            self.images = None

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log as MMEngine's hook does, and show the training's bar again."""
        super().after_val_epoch(runner, metrics)
        console.resume_bar(self.bar)

    def after_train(self, runner: Runner) -> None:
        """Leave the bar as it stands, and count the files that were skipped."""
        console.close_bar(self.bar)
        self.bar = None
        line = report.skipped_line(runner) if is_main_process() else None
        if line:
            runner.logger.warning(line)

    def after_run(self, runner: Runner) -> None:
        """Finish as MMEngine's hook does, and list what a pretraining has written."""
        super().after_run(runner)
        if is_main_process() and is_pretraining(runner.model):
            runner.logger.info(report.written_lines(runner))
