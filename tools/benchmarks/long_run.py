"""Watches memory, open files and processes of a long pretraining run with a small model (Linux).

The model of configs/pretrain/flsl_vit-t16_scenes.py is trained on pictures of 64 pixels from a folder, with loader
workers, checkpoints and logs on, for many short epochs. After a warm-up, the memory of the main process and of each
worker must not grow. Memory is what a process has to itself (Linux calls it private), so that pages which a worker
shares with the main process are not counted twice.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from flsl_mm import cli
from flsl_mm.scenes.painter import render_scene

CONFIG = Path(__file__).parents[2] / 'configs' / 'pretrain' / 'flsl_vit-t16_scenes.py'
NUM_PICTURES, BATCH_SIZE = 200, 8
LIMIT = 2.0
"""Largest growth that counts as flat, in MB per 1,000 iterations."""


@dataclass(frozen=True)
class Sample:
    """State of a process after an iteration: private memory in MB, open files, and threads."""

    iteration: int
    process: str
    private_mb: float
    files: int
    threads: int


def take_sample(iteration: int, process: str, pid: int) -> Sample:
    """Read a process's state from /proc."""
    rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
    private = sum(int(size) for size in re.findall(r'^Private_\w+:\s*(\d+) kB', rollup, re.MULTILINE))
    files, threads = (len(os.listdir(f'/proc/{pid}/{folder}')) for folder in ('fd', 'task'))
    return Sample(iteration, process, private / 1024, files, threads)


def child_processes() -> list[int]:
    """List the children of this process, oldest first."""
    children = (path.read_text().split() for path in Path('/proc/self/task').glob('*/children'))
    return sorted(int(pid) for pids in children for pid in pids)


class SampleHook(Hook):
    """Samples the main process and its children every ``interval`` iterations."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.samples: list[Sample] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Take samples."""
        if self.every_n_train_iters(runner, self.interval):
            names = {'main': os.getpid()} | {f'worker {i}': pid for i, pid in enumerate(child_processes())}
            self.samples += [take_sample(runner.iter + 1, name, pid) for name, pid in names.items()]


def write_pictures(folder: Path) -> None:
    """Write the pictures to train on."""
    for i in range(NUM_PICTURES):
        Image.fromarray(render_scene(0, i, (96, 96)).image).save(folder / f'{i}.png')


def make_config(folder: Path, iterations: int, workers: int) -> Config:
    """Shrink the config of the demonstration."""
    cfg = Config.fromfile(CONFIG)
    views = dict(global_crops=dict(size=64), local_crops=dict(size=32))
    cfg.model.merge(dict(backbone=dict(img_size=64), data_preprocessor=views))
    cfg.train_dataloader.merge(dict(batch_size=BATCH_SIZE, num_workers=workers, persistent_workers=workers > 0))
    cfg.train_dataloader.dataset = dict(type='FLSLImages', data_root=str(folder / 'pictures'), size=64)
    cfg.train_cfg.max_epochs = -(-iterations // (NUM_PICTURES // BATCH_SIZE))
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'FLSLProbeHook']
    cfg.work_dir = str(folder / 'work')
    cfg.log_level = 'WARNING'
    return cfg


def summarize(samples: list[Sample], warm_up: int) -> list[dict]:
    """Compare each process's state after the warm-up with that at the end.

    Returns:
        For each process the memory and open files of its first and last sample after the warm-up, and the slope of
        the line through its memory in MB per 1,000 iterations.
    """
    rows = []
    for process in dict.fromkeys(sample.process for sample in samples):
        own = [sample for sample in samples if sample.process == process and sample.iteration > warm_up]
        slope = np.polyfit([s.iteration for s in own], [s.private_mb for s in own], 1)[0] * 1000
        rows.append(
            dict(
                process=process,
                mb_after_warm_up=round(own[0].private_mb, 1),
                mb_at_end=round(own[-1].private_mb, 1),
                mb_per_1000_iterations=round(float(slope), 2),
                files_after_warm_up=own[0].files,
                files_at_end=own[-1].files,
                threads_after_warm_up=own[0].threads,
                threads_at_end=own[-1].threads,
            )
        )
    return rows


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--iterations', type=int, default=2000, help='length of the run (default: 2000)')
    parser.add_argument('--warm-up', type=int, default=500, help='iterations that do not count (default: 500)')
    parser.add_argument('--workers', type=int, default=2, help='loader workers (default: 2)')
    parser.add_argument('--interval', type=int, default=20, help='iterations between two samples (default: 20)')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of the main process (default: 1)')
    parser.add_argument('--out', type=Path, help='JSON file for the summary and all samples')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args()


def benchmark(args: argparse.Namespace) -> None:
    """Train, print the table, and raise ValueError where something grew or was left behind."""
    if not Path('/proc/self/smaps_rollup').exists():
        raise OSError('this benchmark reads /proc/<pid>/smaps_rollup, which only Linux has')
    if args.iterations < args.warm_up + 3 * args.interval:
        raise ValueError('--iterations must leave three samples after --warm-up')
    torch.set_num_threads(args.threads)
    hook = SampleHook(args.interval)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'pictures').mkdir()
        write_pictures(folder / 'pictures')
        runner = Runner.from_cfg(make_config(folder, args.iterations, args.workers))
        runner.register_hook(hook)
        runner.train()
    rows = summarize(hook.samples, args.warm_up)
    for row in rows:
        print('  '.join(f'{key} {value}' for key, value in row.items()))
    if args.out:
        temporary = args.out.with_name(f'.{args.out.name}.tmp')
        content = dict(iterations=args.iterations, summary=rows, samples=[asdict(sample) for sample in hook.samples])
        temporary.write_text(json.dumps(content, indent=1) + '\n')
        os.replace(temporary, args.out)
    if len(rows) != 1 + args.workers:
        raise ValueError(f'{len(rows) - 1} child processes were seen, {args.workers} workers were asked for')
    for row in rows:
        grew = row['mb_per_1000_iterations'] > LIMIT
        if (
            grew
            or row['files_at_end'] > row['files_after_warm_up']
            or row['threads_at_end'] > row['threads_after_warm_up']
        ):
            raise ValueError(f'{row["process"]} grew: see the table')
    print('flat: no process grew')


if __name__ == '__main__':
    arguments = parse_args()
    sys.exit(cli.run(benchmark, arguments))
