"""Lines about a run: what is trained on what at its start, skipped images and written files at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import mmengine
import torch
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from flsl_mm.datasets.skipped import read_skipped
from flsl_mm.datasets.small_images import small_images_line
from flsl_mm.utils.console import LogText
from flsl_mm.utils.mm import unwrap
from flsl_mm.utils.version import __version__
from flsl_mm.utils.work_folder import SKIPPED

from .health import MIN_STEPS
from .hooks.schedule import accumulated_batches, effective_batch_size, is_pretraining, teacher_initial_share
from .log_processor import batch_size_of

MAX_INITIAL = 0.1
"""With a greater share of its initial weights at the end, a teacher is hardly a trained one."""

MIN_VOLUME_IMAGES = 64
"""With fewer images per step, the marginal of a batch says little about that of the data."""


def startup_lines(runner: Runner) -> list[str]:
    """Describe what a Runner will run, on what, and where it writes."""
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
    if not (trains and is_pretraining(model)):  # pretraining_lines say it, once the batch's other settings are known
        lines.append(data_line(runner, loop.dataloader, trains))
    log = Path(runner.log_dir) / f'{runner.timestamp}.log'
    lines.append(f'writing to {runner.work_dir} | environment, config, hooks and all messages: {log}')
    return lines


def data_line(runner: Runner, loader: DataLoader, trains: bool) -> str:
    """Describe data, batch and, of a training, its length."""
    batch = f'{batch_size_of(loader)}' + (f' x {runner.world_size} processes' if runner.world_size > 1 else '')
    unit = getattr(loader.dataset, 'unit', 'images')
    line = f'{type(loader.dataset).__name__}: {len(loader.dataset):,} {unit} | batch {batch}'
    return f'{line} | {length(runner)}' if trains else line


def length(runner: Runner) -> str:
    """Describe how long a training is, in steps of its optimizer."""
    accumulated = accumulated_batches(runner)
    steps = f'{math.ceil(runner.max_iters / accumulated):,} steps'
    if isinstance(runner.train_loop, IterBasedTrainLoop):  # MMEngine calls all of it one epoch
        return steps
    batches = f' of {accumulated} batches' if accumulated > 1 else ''
    each = len(runner.train_dataloader) / accumulated
    epochs = f'{runner.max_epochs} epoch{"s" if runner.max_epochs > 1 else ""}'
    return f'{each:,.10g} steps{batches} per epoch, {epochs}, {steps}'


def device_name(processes: int) -> str:
    """Name what a run computes on."""
    if torch.cuda.is_available():
        return f'{processes} x {torch.cuda.get_device_name()}'
    threads = torch.get_num_threads()
    each = f'{threads} thread{"s" if threads > 1 else ""}'
    return f'the CPU ({each})' if processes == 1 else f'the CPU ({processes} processes of {each})'


def pretraining_line(runner: Runner) -> str:
    """Describe a pretraining: images, batch, learning rate, teacher momentum, K and length."""
    model, loader = unwrap(runner.model), runner.train_dataloader
    accumulated = accumulated_batches(runner)
    batches = f' x {accumulated} batches' if accumulated > 1 else ''
    peak = max(group.get('initial_lr', group['lr']) for group in runner.optim_wrapper.optimizer.param_groups)
    return (
        f'{len(loader.dataset):,} images | effective batch {effective_batch_size(runner)} '
        f'({loader.batch_size} x {runner.world_size} processes{batches}) | '
        f'peak lr {peak:.3g} | teacher momentum {model.momentum:.6g} | '
        f'K = {model.head.num_prototypes} prototypes | {length(runner)}'
    )


def pretraining_warnings(runner: Runner) -> Iterator[str]:
    """List what of a pretraining's length and batch will keep it from learning."""
    model = unwrap(runner.model)
    initial = teacher_initial_share(runner)
    if initial > MAX_INITIAL:
        steps = runner.max_iters // accumulated_batches(runner)
        longer = enough_length(runner, initial)
        yield LogText(
            f'{initial:.0%} of the teacher will still be its initial weights after {steps} steps: set {longer} or '
            f'more, or default_hooks.schedule.momentum.start={max(1 - 6 / steps, 0.5):.3g} or less with '
            'default_hooks.schedule.base_batch_size=None',
            console=f'{steps} steps are too few for the teacher to follow: set {longer} or more',
        )
    if small := small_images_line(runner.train_dataloader.dataset):
        yield f'{small}: `flsl-mm show-views` shows what becomes of them'
    images = runner.train_dataloader.batch_size * runner.world_size
    if model.volume_weight and images < MIN_VOLUME_IMAGES:
        yield (
            f'the volume term sees {images} images (a batch of all processes; accumulated batches do not widen '
            "it): for so few, assignment='sinkhorn' with volume_weight=0 is the safer choice"
        )


def enough_length(runner: Runner, initial: float) -> str:
    """Name a length that allows a verdict, and leaves few initial weights in the teacher (now ``initial``, a share)."""
    more = math.log(MAX_INITIAL) / math.log(min(initial, 0.999))
    more = max(more, MIN_STEPS * accumulated_batches(runner) / runner.max_iters)
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        return f'train_cfg.max_iters={math.ceil(runner.max_iters * more)}'
    return f'train_cfg.max_epochs={math.ceil(runner.max_epochs * more)}'


def skipped_line(runner: Runner) -> str | None:
    """Count the files that were skipped since the run began, earlier parts of a resumed one included."""
    log = Path(runner.work_dir) / SKIPPED
    skipped = read_skipped(log)
    total = len(runner.train_dataloader.dataset)
    return f'{len(skipped)} of {total} image files could not be used; they are listed in {log}' if skipped else None


def written_lines(runner: Runner) -> str:
    """List checkpoint, backbone file, log and figure."""
    info = runner.message_hub.runtime_info
    rows = {
        'checkpoint': info.get('last_ckpt'),
        'teacher backbone': info.get('last_backbone'),
        'JSON log': Path(runner.log_dir) / 'vis_data' / 'scalars.json',
        'figure': info.get('probe_figure'),
    }
    lines = [f'  {name:<17} {path}' for name, path in rows.items() if path is not None and Path(path).is_file()]
    return 'Written:\n' + '\n'.join(lines)
