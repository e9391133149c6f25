"""What a comparison trains: how many epochs, in which folders, and how much time is left."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from statistics import median
from typing import Any

from ..names import distinct_names
from ..quiet import read_config_quietly

MEASURING = 0.3
"""Share of the time of all that is kept for measuring."""

STARTING = 15
"""Seconds that a training takes before its first step and after its last one, about."""


SLOW = 20
"""Seconds after which no more steps are timed."""


class Clock:
    """The time that a comparison may take.

    Args:
        minutes: Of all, or None for as long as it takes.
    """

    def __init__(self, minutes: float | None) -> None:
        self.started = time.monotonic()
        self.seconds = math.inf if minutes is None else 60 * minutes

    def left_for_training(self) -> float:
        """Return the seconds until measuring has to begin."""
        return self.started + (1 - MEASURING) * self.seconds - time.monotonic()

    def is_over(self) -> bool:
        """Return whether nothing more is to be measured."""
        return time.monotonic() > self.started + self.seconds


def minutes_of_one(args: argparse.Namespace) -> float:
    """Return the minutes of one training: those that are given, or what fits into the time of all of them."""
    if args.minutes is not None:
        return args.minutes
    if args.total_minutes is None:
        return 10
    jobs = args.seeds * len(args.configs)
    # What is timed is a step alone: loader, logs and files take a little more.
    return max(0.8 * ((1 - MEASURING) * args.total_minutes / jobs - STARTING / 60), 0.05)


def seconds_per_step(config: Path) -> float:
    """Time a training step of a config, without its loader: the median of eight, or of fewer where they are slow."""
    import torch
    from mmengine.device import get_device
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import MODELS

    cfg = read_config_quietly(config)
    model = MODELS.build(cfg.model).to(get_device()).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 100)
    size = cfg.train_dataloader.dataset.size
    images = torch.randint(256, (cfg.train_dataloader.batch_size, 3, size, size), dtype=torch.uint8)
    times = []
    while len(times) < 12 and (len(times) < 3 or sum(times) < SLOW):
        start = time.perf_counter()
        model.train_step(dict(inputs=images), wrapper)['loss'].item()
        times.append(time.perf_counter() - start)
    return median(times[len(times) // 3 :])


def make_plan(args: argparse.Namespace) -> dict[str, Any]:
    """Decide the number of epochs that takes the minutes of one with the slowest config, or read what was decided.

    Raises:
        ValueError: If the folder holds the plan of another comparison.
    """
    from flsl_mm.datasets.folder import find_images
    from flsl_mm.utils.fileio import write_text

    options = dict(
        images=str(args.images.resolve()),
        configs=[str(Path(config).resolve()) for config in args.configs],
        minutes=minutes_of_one(args),
        points=args.points,
    )
    path = args.out / 'plan.json'
    if path.is_file():
        plan = json.loads(path.read_text())
        if args.minutes is None:  # more time for all of them continues what was begun
            options['minutes'] = plan['options']['minutes']
        if plan['options'] != options:
            raise ValueError(f'{path} plans another comparison: give the same options, or another --out')
        return plan
    batch_size = read_config_quietly(args.configs[0]).train_dataloader.batch_size
    steps_per_epoch = len(find_images(args.images)) // batch_size
    if steps_per_epoch == 0:
        raise ValueError(f'{args.images} holds fewer images than a batch of {batch_size}')
    seconds = max(seconds_per_step(config) for config in args.configs)
    # A multiple of the points, so that each lies at an epoch's end.
    epochs = max(round(60 * options['minutes'] / seconds / steps_per_epoch / args.points), 1) * args.points
    plan = dict(options=options, epochs=epochs, steps_per_epoch=steps_per_epoch, seconds_per_step=seconds)
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(plan, indent=1) + '\n')
    return plan


def run_folder(args: argparse.Namespace, config: Path, seed: int) -> Path:
    """Return the work folder of one training."""
    return args.out / config_name(args, config) / f'seed_{seed}'


def config_name(args: argparse.Namespace, config: Path) -> str:
    """Return what folders and tables call a config."""
    names = distinct_names([Path(each).stem for each in args.configs], args.configs)
    return names[args.configs.index(config)]


def backbones(folder: Path, plan: dict[str, Any]) -> list[Path]:
    """Return the backbone files of one training, in order."""
    interval = plan['epochs'] // plan['options']['points']
    return [folder / f'epoch_{interval * (i + 1)}_backbone.pth' for i in range(plan['options']['points'])]
