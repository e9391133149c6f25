"""Times pretraining end to end, from JPEG files to the updated teacher, against its loader and its step alone.

The figure is a run of MMEngine's Runner as a pretraining config describes it (loader, sampler, hooks, optimiser
wrapper, logging), on generated JPEG files, for one epoch, without checkpoints, in a temporary work folder. The run
stops for a moment after each window of iterations, and in turns with the windows two things are timed in the same
process:

  loader  the same loader with the same workers, whose batches nobody uses
  step    the same model and optimiser wrapper on a batch that is already there

The limit is the slower of the two. Waiting is the time from an iteration's end to the next step, in which the main
process gets the batch (the hooks before a step, which take microseconds, included).

Without a GPU, loader and step share the cores, which the limit knows nothing of: what they need adds up there.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import torch
from loading import build_loader, first_files, loader_config, mean_kilobytes, picture_folder, seconds_per_image
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from flsl_mm import cli

CONFIG = measure.ROOT / 'configs' / 'pretrain' / 'flsl_vit-s16.py'
RATIO_REACHED = 0.85
ROUNDS = 6
"""Batches of each worker that the loader alone is timed with; the first one does not count."""


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line; what depends on the machine is filled in by :func:`complete`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path, default=CONFIG, help='pretraining config (default: flsl_vit-s16.py)')
    parser.add_argument('--batch-size', type=int, help='images a step (default: the config’s; 8 without a GPU)')
    parser.add_argument('--workers', type=int, help='loader workers (default: one a core; 1 without a GPU)')
    parser.add_argument('--iterations', type=int, help='iterations of a window (default: 40; 5 without a GPU)')
    parser.add_argument('--warmup', type=int, help='iterations before each window (default: what workers fetch ahead)')
    parser.add_argument('--data', type=Path, help='folder for the files, or of own ones (default: a temporary one)')
    parser.add_argument('--images', type=int, default=256, help='files to write and to read (default: 256)')
    measure.add_options(parser, repeats=3)
    return parser


def complete(args: argparse.Namespace) -> None:
    """Fill in what depends on config and machine, and refuse impossible options."""
    if not args.config.is_file():
        raise ValueError(f'no config {args.config}')
    cfg = Config.fromfile(args.config)
    if cfg.model.type != 'FLSL':
        raise ValueError(f'{args.config} is no pretraining config: its model is {cfg.model.type}, not FLSL')
    cores = measure.machine()['cores']
    batch_size = cfg.train_dataloader.batch_size
    on_gpu = dict(batch_size=batch_size, workers=cores, iterations=40)
    on_cpu = dict(batch_size=8, workers=1, iterations=5)
    for name, default in (on_gpu if torch.cuda.is_available() else on_cpu).items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    if args.warmup is None:
        # Batches that became ready while the run stood still must not count.
        args.warmup = max(2, 2 * args.workers)
    if min(args.batch_size, args.iterations, args.warmup, args.images) < 1 or args.workers < 0:
        raise ValueError('--batch-size, --iterations, --warmup and --images must be at least 1, --workers at least 0')


class WindowsHook(Hook):
    """Times windows of iterations, and between them, while the run stands still, its loader and its step alone.

    Attributes:
        seconds: Seconds per image of each window.
        waiting: Share of each window in which the main process waited for data.
        loader: Seconds per image of the loader alone, after each window.
        step: Seconds per image of the step alone, after each window.
    """

    # After every other hook of an iteration.
    priority = 'LOWEST'

    def __init__(self, args: argparse.Namespace, loader: DataLoader, device: str) -> None:
        self.args = args
        self.loader_alone = loader
        self.device = device
        self.seconds, self.waiting, self.loader, self.step = [], [], [], []
        self.done = 0
        self.progress = tqdm(total=args.repeats * (args.warmup + args.iterations), desc='iterations', leave=False)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Add the time since the last iteration's end to what was waited."""
        self.waited += time.perf_counter() - self.ended

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the warm-up."""
        self.start()

    def start(self) -> None:
        """Start the clock."""
        measure.synchronize(self.device)
        self.started = self.ended = time.perf_counter()
        self.waited = 0.0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Start a window after the warm-up; after the window, time the limits."""
        self.done += 1
        self.progress.update()
        if self.done == self.args.warmup:
            self.start()
        elif self.done == self.args.warmup + self.args.iterations:
            measure.synchronize(self.device)
            duration = time.perf_counter() - self.started
            self.seconds.append(duration / (self.args.iterations * self.args.batch_size))
            self.waiting.append(self.waited / duration)
            self.time_limits(runner, data_batch)
            self.done = 0
        self.ended = time.perf_counter()

    def time_limits(self, runner: Runner, batch: dict) -> None:
        """Time the step alone on the batch that was trained last, then the loader alone."""

        def steps() -> None:
            for _ in range(self.args.iterations):
                runner.model.train_step(batch, runner.optim_wrapper)

        seconds = measure.timed(steps, self.device)
        self.step.append(seconds / (self.args.iterations * self.args.batch_size))
        self.loader.append(seconds_per_image(self.loader_alone))


def run_config(args: argparse.Namespace, folder: Path, files: int, work_dir: str) -> tuple[Config, ConfigDict]:
    """Take a config's run as it is but for the files, one epoch's length, and checkpoints.

    Args:
        args: Options of the program.
        folder: Folder of the JPEG files.
        files: Number of files to use.
        work_dir: Folder for logs.

    Returns:
        Config of the run, and that of the loader that is timed alone.
    """
    cfg = Config.fromfile(args.config)
    size = cfg.model.data_preprocessor.global_crops.size
    options = dict(workers=args.workers, batch_size=args.batch_size, data_root=str(folder), files=files, size=size)
    alone = loader_config(cfg.train_dataloader, batches=ROUNDS * max(args.workers, 1), **options)
    batches = args.repeats * (args.warmup + args.iterations)
    cfg.train_dataloader = loader_config(cfg.train_dataloader, batches=batches, **options)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint = None
    # The probe of the demonstration's generated scenes has no place in a run on files.
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'FLSLProbeHook']
    cfg.log_level = 'WARNING'
    cfg.work_dir = work_dir
    return cfg, alone


def train(args: argparse.Namespace, folder: Path, files: int, device: str) -> WindowsHook:
    """Train, with the windows timed."""
    with tempfile.TemporaryDirectory(prefix='flsl_pretrain_') as work_dir:
        cfg, alone = run_config(args, folder, files, work_dir)
        runner = cli.build_runner(cfg)
        hook = WindowsHook(args, build_loader(alone), device)
        runner.register_hook(hook)
        runner.train()
        hook.progress.close()
    return hook


def summarize(hook: WindowsHook) -> dict:
    """Turn seconds into rates, ratio and shares."""
    limit = [max(pair) for pair in zip(hook.loader, hook.step, strict=True)]
    loader, step, seconds = (statistics.median(times) for times in (hook.loader, hook.step, hook.seconds))
    ratio = measure.ratio(limit, hook.seconds)
    return dict(
        images_per_second=1 / seconds,
        loader_images_per_second=1 / loader,
        step_images_per_second=1 / step,
        limit='loader' if loader > step else 'step',
        ratio=ratio,
        reached=ratio >= RATIO_REACHED,
        waiting_share=statistics.median(hook.waiting),
        seconds_per_image=dict(run=hook.seconds, loader=hook.loader, step=hook.step),
        waiting_shares=hook.waiting,
    )


def run(args: argparse.Namespace) -> dict:
    """Measure and print."""
    complete(args)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    with picture_folder(args.data, args.images) as folder:
        files = first_files(folder, args.images)
        kilobytes = mean_kilobytes(files)
        hook = train(args, folder, len(files), device)
    numbers = dict(
        device=device,
        batch_size=args.batch_size,
        workers=args.workers,
        iterations=args.iterations,
        files=len(files),
        mean_file_kb=kilobytes,
        **summarize(hook),
        peak_memory=measure.peak_memory(device),
    )
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict) -> None:
    """Print the numbers."""
    print(
        f'{args.config.stem}, batch {args.batch_size}, {args.workers} workers, {numbers["device"]}, '
        f'{torch.get_num_threads()} threads, {numbers["files"]} files of {numbers["mean_file_kb"]:.0f} KB on average, '
        f'median of {args.repeats} windows of {args.iterations} iterations\n'
        f'end to end   {numbers["images_per_second"]:9.1f} images/s, {numbers["waiting_share"]:.1%} waiting for data\n'
        f'loader alone {numbers["loader_images_per_second"]:9.1f} images/s\n'
        f'step alone   {numbers["step_images_per_second"]:9.1f} images/s\n'
        f'ratio        {numbers["ratio"]:9.1%} of the {numbers["limit"]}, '
        f'{"reaches" if numbers["reached"] else "MISSES"} {RATIO_REACHED:.0%}'
    )
    if numbers['device'] == 'cpu':
        print('without a GPU, loader and step share the cores: what they need adds up')


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
