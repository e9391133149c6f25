"""Says what a run is, where it stands, and how fast it is, to a person and to the log file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmengine
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from flsl_mm.utils.mm import unwrap
from flsl_mm.utils.version import __version__

from .. import console
from ..log_processor import batch_size_of, images_per_step
from .report import FLSLReportHook

REFRESH = 5
"""Seconds between two readings of the loss for the bar; on a GPU, a reading waits for the step."""


@HOOKS.register_module()
class FLSLLoggerHook(LoggerHook):
    """MMEngine's ``LoggerHook`` that shows a person little: what runs on what, then a bar, or lines; same arguments.

    In a terminal a bar has steps, time left, images per second, loss and the verdict so far; while a model is validated
    or tested, a bar has images, time left and speed. Elsewhere every ``interval`` steps a line is printed. The log file
    gets the lines in any case, and all that MMEngine logs of itself.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.bar: tqdm | None = None
        self.images: tqdm | None = None  # the bar of validation and testing
        self.read_at = 0.0

    def before_run(self, runner: Runner) -> None:
        """Describe what is going to run."""
        super().before_run(runner)
        console.use_short_lines(runner.logger)
        for line in startup_lines(runner):
            runner.logger.info(line)

    def before_train_epoch(self, runner: Runner) -> None:
        """Show the bar, once all hooks have logged their lines."""
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
                self.bar.set_postfix_str(self.progress_text(runner, outputs), refresh=False)
        with console.hidden(self.bar is not None):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def progress_text(self, runner: Runner, outputs: dict | None) -> str:
        """Write what the bar shows beside steps and time."""
        parts = []
        if self.bar.format_dict['rate'] or self.bar.format_dict['elapsed']:
            done = self.bar.n - self.bar.initial
            parts.append(f'{images_per_step(runner) * done / self.bar.format_dict["elapsed"]:.3g} images/s')
        losses = runner.message_hub.log_scalars.get('train/loss')
        if losses is not None:
            parts.append(f'loss {losses.mean(runner.log_processor.window_size):.4g}')
        verdict = runner.message_hub.runtime_info.get('verdict')
        if verdict is not None:
            parts.append(verdict.partition(':')[0].replace('too short', 'too early'))
        return ', '.join(parts)

    def before_val_epoch(self, runner: Runner) -> None:
        """Show the bar of the images in the place of the training's."""
        console.pause_bar(self.bar)
        self.open_images(runner, runner.val_dataloader, 'validating')

    def before_test_epoch(self, runner: Runner) -> None:
        """Show the bar of the images."""
        self.open_images(runner, runner.test_dataloader, 'testing')

    def open_images(self, runner: Runner, loader: DataLoader, name: str) -> None:
        """Show a bar of the images of a data set, unless the model shows one of its own."""
        model = unwrap(runner.model)
        if is_main_process() and console.is_terminal() and not getattr(model, 'progress', False):
            self.images = console.open_bar(len(loader.dataset), name=name, unit=' images', place=0)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Log as MMEngine's hook does, and move the bar."""
        with console.hidden(console.is_terminal()):
            super().after_val_iter(runner, batch_idx, data_batch, outputs)
        self.move_images(runner, runner.val_dataloader, batch_idx)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Log as MMEngine's hook does, and move the bar."""
        with console.hidden(console.is_terminal()):
            super().after_test_iter(runner, batch_idx, data_batch, outputs)
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
        """Leave the bar as it stands."""
        console.close_bar(self.bar)
        self.bar = None


def startup_lines(runner: Runner) -> list[str]:
    """Describe in lines what a Runner will run, on what, and where it writes."""
    model = unwrap(runner.model)
    loops = (runner._train_loop, runner._test_loop, runner._val_loop)
    loop = next(loop for loop in loops if isinstance(loop, BaseLoop))  # the others are still descriptions
    trains = loop is runner._train_loop
    backbone = getattr(model, 'backbone', None)
    name = type(model).__name__ + (f' with {type(backbone).__name__}' if backbone is not None else '')
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trains)
    lines = [
        f'{runner.experiment_name.removesuffix("_" + runner.timestamp)}: {"training" if trains else "testing"} {name}, '
        f'{count / 1e6:.1f} million parameters, on {device_name(runner.world_size)} | '
        f'flsl_mm {__version__}, torch {torch.__version__}, MMEngine {mmengine.__version__}'
    ]
    # Of a pretraining, the report says it with what depends on it.
    if not any(isinstance(hook, FLSLReportHook) for hook in runner.hooks):
        lines.append(data_line(runner, loop.dataloader, trains))
    log = Path(runner.log_dir) / f'{runner.timestamp}.log'
    lines.append(f'writing to {runner.work_dir} | environment, config, hooks and all messages: {log}')
    return lines


def data_line(runner: Runner, loader: DataLoader, trains: bool) -> str:
    """Tell data, batch and, of a training, its length."""
    batch = f'{batch_size_of(loader)}' + (f' x {runner.world_size} processes' if runner.world_size > 1 else '')
    unit = getattr(loader.dataset, 'unit', 'images')
    line = f'{type(loader.dataset).__name__}: {len(loader.dataset):,} {unit} | batch {batch}'
    if trains:
        line += f' | {len(loader):,} steps per epoch, {runner.max_epochs} epochs, {runner.max_iters:,} steps'
    return line


def device_name(processes: int) -> str:
    """Name what a run computes on."""
    if torch.cuda.is_available():
        return f'{processes} x {torch.cuda.get_device_name()}'
    threads = torch.get_num_threads()
    each = f'{threads} thread{"s" if threads > 1 else ""}'
    return f'the CPU ({each})' if processes == 1 else f'the CPU ({processes} processes of {each})'
