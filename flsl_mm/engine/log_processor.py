"""Format the lines of the log: all numbers for the file; loss, verdict, speed and time left for the console."""

from __future__ import annotations

import math
from datetime import timedelta

from mmengine.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner
from torch.utils.data import DataLoader

from flsl_mm.utils.console import LogText

from .coco_table import coco_table

SMOOTHED = r'loss|time|grad_norm|intra|inter|volume|entropy|prototypes_used'
"""What is averaged over the window: the total and all that is computed with it; set values are shown as they are."""

PLACED_NUMBERS = ('loss', 'lr', 'base_lr', 'time', 'data_time', 'epoch', 'iter', 'memory', 'eta')
"""Numbers with a place of their own in a line."""


MAX_HISTORY = 1000
"""Values of each logged number that are kept: MMEngine copies them at each step and puts them into each checkpoint."""


@LOG_PROCESSORS.register_module()
class FLSLLogProcessor(LogProcessor):
    """MMEngine's ``LogProcessor`` with shorter lines on the console; the arguments are the same.

    A training step's has loss, verdict so far, images per second and time left; COCO's figures are a table. What is
    logged to files and passed on is MMEngine's, but that the terms of the loss are averaged as their sum is. Of each
    number, the latest :data:`MAX_HISTORY` values are kept, or as many as the window has; MMEngine would keep a million.
    The log files have all.
    """

    def __init__(self, *args, mean_pattern: str = SMOOTHED, **kwargs) -> None:
        super().__init__(*args, mean_pattern=mean_pattern, **kwargs)
        self.verdict = VerdictSoFar()

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Return the numbers of a step and its line."""
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        if not any(isinstance(row.get('window_size'), str) for row in self.custom_cfg):  # 'epoch' or 'global'
            for history in runner.message_hub.log_scalars.values():
                history.max_length = max(MAX_HISTORY, self.window_size)
        return tag, self.line(runner, batch_idx, tag) if mode == 'train' else line

    def get_log_after_epoch(self, runner: Runner, batch_idx: int, mode: str, *args, **kwargs) -> tuple[dict, str]:
        """Return the numbers of a validation or test and their line, on the console a table where they are COCO's."""
        tag, line = super().get_log_after_epoch(runner, batch_idx, mode, *args, **kwargs)
        table, others = coco_table(tag)
        if not table:
            return tag, line
        title = [line.partition('  ')[0]]
        title += [
            f'{name}: {value:.4f}' for name, value in others.items() if isinstance(value, float) and 'time' not in name
        ]
        return tag, LogText(line, console='  '.join(title) + '\n' + table)

    def line(self, runner: Runner, batch_idx: int, tag: dict) -> LogText:
        """Write the line of a training step."""
        numbers = {name.removeprefix('train/'): value for name, value in tag.items()}
        if self.by_epoch:
            steps = len(runner.train_dataloader)
            place = f'epoch {runner.epoch + 1}/{runner.max_epochs}, step {batch_idx + 1:{len(str(steps))}}/{steps}'
        else:
            place = f'step {runner.iter + 1}/{runner.max_iters}'
        loss = f'loss {numbers["loss"]:.4f}' if 'loss' in numbers else ''
        speed = f'{images_per_step(runner) / numbers["time"]:.3g} images/s' if numbers.get('time') else ''
        eta = runner.message_hub.runtime_info.get('eta')
        left = '' if eta is None else f'{timedelta(seconds=int(eta))} left'
        short = [place, loss, self.verdict.text(runner), speed, left]
        parts = [place, loss]
        terms = [f'{name} {format_value(name, value)}' for name, value in numbers.items() if name not in PLACED_NUMBERS]
        parts.append(' '.join(terms))
        if 'lr' in numbers:
            parts.append(f'lr {numbers["lr"]:.3g}')
        if speed:
            parts.append(f'{speed} ({numbers.get("data_time", 0) / numbers["time"]:.0%} waiting for data)')
        if 'memory' in numbers:
            parts.append(f'{numbers["memory"]} MB')
        parts.append(left)
        full, short = (' | '.join(part for part in each if part) for each in (parts, short))
        return LogText(full, console=short)


class VerdictSoFar:
    """What lines say of a pretraining's verdict: that it is too early to tell once, anything else in each."""

    def __init__(self) -> None:
        self.early_said = False

    def text(self, runner: Runner) -> str:
        """Return the latest verdict without its reasons; empty where there is nothing to say."""
        verdict = runner.message_hub.runtime_info.get('verdict', '').partition(':')[0]
        if not verdict.startswith('too short'):
            return verdict
        if self.early_said:
            return ''
        self.early_said = True
        return verdict.replace('too short', 'too early')


def images_per_step(runner: Runner) -> int:
    """Give the number of images of one iteration of all processes."""
    return batch_size_of(runner.train_dataloader) * runner.world_size


def batch_size_of(loader: DataLoader) -> int:
    """Give the number of images of a batch; a loader with a batch sampler of its own does not know it."""
    return getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size or 1


def format_value(name: str, value: float) -> str:
    """Write a number with four decimals; a momentum near 1 with three digits of what it lacks."""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    digits = 4
    if name == 'momentum' and 0 < 1 - value < 0.1:
        digits = math.ceil(-math.log10(1 - value)) + 2
    return f'{value:.{digits}f}'
