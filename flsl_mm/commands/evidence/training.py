"""One training of a comparison, as a program of its own."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from flsl_mm.utils.fileio import open_in_place

from .plan import backbones


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def train(
    config: Path, seed: int, folder: Path, plan: dict[str, Any], args: argparse.Namespace, seconds: float = math.inf
) -> bool:
    """Train a config with a seed, or go on where it was stopped.

    Args:
        config: The config.
        seed: Seed of the data and of torch.
        folder: Work folder.
        plan: As of :func:`make_plan`.
        args: Options of the command.
        seconds: When it is ended.

    Returns:
        Whether it came to its end.

    Raises:
        RuntimeError: If the training fails; the message names its log.
    """
    import torch

    if all(path.is_file() for path in backbones(folder, plan)):
        return True
    folder.mkdir(parents=True, exist_ok=True)
    interval = plan['epochs'] // plan['options']['points']
    options = [
        f'train_dataloader.dataset.data_root={args.images}',
        f'train_dataloader.dataset.seed={seed}',
        f'randomness.seed={seed}',
        f'train_cfg.max_epochs={plan["epochs"]}',
        f'default_hooks.checkpoint.interval={interval}',
        'default_hooks.checkpoint.by_epoch=True',
        'default_hooks.checkpoint.max_keep_ckpts=-1',
    ]
    if torch.cuda.is_available():  # a GPU waits for one worker; how many there are changes no batch
        options.append(f'train_dataloader.num_workers={min(available_cores(), 16)}')
    program = [sys.executable, '-m', 'flsl_mm.commands', 'train', str(config), '--work-dir', str(folder)]
    with open_in_place(folder / 'log.txt') as log:
        command = [*program, '--resume', '--cfg-options', *options]
        try:
            timeout = None if seconds == math.inf else seconds
            done = subprocess.run(command, stdout=log, stderr=log, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            return False
    if done.returncode:
        lines = (folder / 'log.txt').read_text().splitlines()
        raise RuntimeError(f'training failed, {folder / "log.txt"}: {lines[-1] if lines else "no output"}')
    missing = [path.name for path in backbones(folder, plan) if not path.is_file()]
    if missing:
        raise RuntimeError(f'{folder} lacks {missing[0]}: the config needs FLSLCheckpointHook')
    return True
