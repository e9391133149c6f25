"""Choose a pretraining recipe for a folder of images (``train --auto``), by the table in docs/recipes.md."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from statistics import median
from typing import Any

MIN_IMAGES = 16
"""Below, there is no batch to learn from."""

SECONDS_PER_IMAGE = 0.046
"""One CPU core's in float32, forward and backward, of ViT 192 x 4 on patches of 8 at 96 pixels (docs/evidence.md)."""

BFLOAT16_SECONDS_PER_IMAGE = 0.016
"""The same where the processor has instructions for bfloat16, which ``CONTENT`` uses."""

FLOP_PER_IMAGE, FLOPS = 46e9, 100e12
"""Of ViT-S/16 at 224 pixels, and of a GPU (docs/recipes.md): arithmetic, not measured."""


@dataclass(frozen=True)
class TrainingSetup:
    """What a recipe depends on.

    Args:
        images: Number of images.
        short_side: Median of their shorter sides in pixels.
        gpu_memory: Memory of one GPU in GiB; 0 where there is none.
        processes: Number of training processes, one for each GPU.
        cores: CPU cores for the loader workers of a process.
        bfloat16: Whether the CPU has instructions for bfloat16.
    """

    images: int
    short_side: int
    gpu_memory: float = 0
    processes: int = 1
    cores: int = 2
    bfloat16: bool = False


@dataclass(frozen=True)
class Recipe:
    """A config, what is changed in it (dotted keys), and the reasons in lines."""

    config: str
    options: dict[str, Any]
    reasons: list[str]


@dataclass(frozen=True)
class Row:
    """A row of the table: the most images that it is for, and its numbers; the learning rate is for a batch of 256."""

    most_images: float
    config: str
    batch: int
    steps: int
    options: dict[str, Any]


CONTENT, PAPER = 'pretrain/flsl_vit-t8d4_content', 'pretrain/flsl_vit-s16'
ROWS = (
    Row(800, CONTENT, 16, 900, {}),
    Row(6_000, CONTENT, 16, 3_750, {}),
    Row(60_000, CONTENT, 16, 8_660, {}),
    Row(500_000, PAPER, 256, 78_000, {'model.anchor_width': 0.12}),
    Row(math.inf, PAPER, 512, 750_000, {}),
)
"""Boundaries lie between the numbers of images of the table's rows; the first three were run."""


def choose_recipe(setup: TrainingSetup) -> Recipe:
    """Choose a recipe: the row for the number of images, then what image size and device ask for.

    Raises:
        ValueError: If there are too few images.
    """
    if setup.images < max(MIN_IMAGES, setup.processes):
        raise ValueError(
            f'{setup.images} images are too few to train on: there should be {MIN_IMAGES}, and better hundreds'
        )
    row = next(row for row in ROWS if setup.images <= row.most_images)
    reasons = [f'{setup.images:,} images: {row.config}, {row.steps:,} steps of {row.batch} images']
    if not setup.gpu_memory and row.config == PAPER:
        row = ROWS[2]
        reasons = [
            f'{setup.images:,} images would be enough for ViT-S/16, which without a GPU takes years: {row.config} '
            f'of 4 blocks, {row.steps:,} steps of {row.batch} images'
        ]
    size_options, size_reasons = fit_images(row.config, setup.short_side)
    batch_options, batch_reasons = fit_device(row, setup)
    epochs = max(round(row.steps * row.batch / setup.images), 1)
    length = {
        'train_cfg.max_epochs': epochs,
        'train_dataloader.num_workers': max(min(setup.cores, 8), 1),
    }
    if row.config == CONTENT:  # whose epochs are short where images are few
        length['default_hooks.checkpoint.interval'] = max(epochs // 8, 1)
    reasons += [*size_reasons, *batch_reasons, duration(row, setup, epochs)]
    return Recipe(row.config, row.options | size_options | batch_options | length, reasons)


def fit_images(config: str, short_side: int) -> tuple[dict[str, Any], list[str]]:
    """Make crops and patches no larger than the images: magnified pixels hold nothing to learn."""
    size, local, patch_size = (224, 96, 16) if config == PAPER else (96, 48, 8)
    if short_side >= (size if config == PAPER else 64):  # CONTENT was measured with images of 64 pixels, enlarged
        return {}, []
    options = {}
    if patch_size == 16 and short_side < 112:
        patch_size = 8
        options['model.backbone.patch_size'] = patch_size
    # Windows of 2 tokens on the global view, and on the local one 3 tokens a side at least.
    fitted = max(short_side // (2 * patch_size) * 2 * patch_size, 6 * patch_size)
    small = max(round(fitted * local / size / patch_size), 3) * patch_size
    options |= {
        'train_dataloader.dataset.size': fitted,
        'model.data_preprocessor.global_crops.size': fitted,
        'model.data_preprocessor.local_crops.size': small,
    }
    if config != PAPER:
        options['model.backbone.img_size'] = options['model.data_preprocessor.teacher_crop.size'] = fitted
    reason = f'images of {short_side} pixels: views of {fitted} and {small}, patches of {patch_size}'
    return options, [reason]


def fit_device(row: Row, setup: TrainingSetup) -> tuple[dict[str, Any], list[str]]:
    """Share the row's batch among processes, and where memory is small among accumulated batches."""
    # Cautious: nobody has measured the memory of each GPU. The paper's 64 images of ViT-S/16 fit 32 GiB.
    most = 2 ** int(math.log2(max(setup.gpu_memory * 2, 4))) if row.config == PAPER else row.batch
    each = max(min(row.batch // setup.processes, most, setup.images // setup.processes), 1)
    accumulated = max(row.batch // (each * setup.processes), 1) if row.config == PAPER else 1
    options: dict[str, Any] = {'train_dataloader.batch_size': each}
    reason = f'{each} images per process' + (f' on {setup.processes} processes' if setup.processes > 1 else '')
    if accumulated > 1:
        options['optim_wrapper.accumulative_counts'] = accumulated
        reason += f', {accumulated} batches per step'
    where = f'a GPU of {setup.gpu_memory:.0f} GiB' if setup.gpu_memory else 'no GPU'
    return options, [f'{where}: {reason}']


def duration(row: Row, setup: TrainingSetup, epochs: int) -> str:
    """Estimate how long it takes."""
    seen = epochs * setup.images
    length = f'{epochs} epoch{"s" * (epochs > 1)}'
    if setup.gpu_memory and row.config != PAPER:
        return f'{length}: minutes of a GPU (not measured)'
    if row.config != PAPER:
        hours = seen * (BFLOAT16_SECONDS_PER_IMAGE if setup.bfloat16 else SECONDS_PER_IMAGE) / 3600
        text = f'{hours:.1f} hours' if hours > 2 else f'{hours * 60:.0f} minutes'
        return f'{length}: about {text} of one CPU core'
    hours = seen * FLOP_PER_IMAGE / FLOPS / setup.processes / 3600
    return f'{length}: about {hours:.0f} hours if a GPU sustains 100 TFLOP/s (arithmetic, not measured)'


def inspect_folder(folder: str | os.PathLike, processes: int = 1) -> TrainingSetup:
    """Count the images below a folder, measure some of them, and detect the device, which ``processes`` share.

    Raises:
        FileNotFoundError: If the folder is missing or holds no image.
        ValueError: If none of the images that were opened can be read.
    """
    import torch

    from flsl_mm.datasets.folder import find_images
    from flsl_mm.models.device import cpu_has_bfloat16

    paths = find_images(
        folder, advice='give --auto a folder of images', logger='silent'
    )  # the run says what is left out
    sides = [side for path in paths_to_measure(paths) if (side := short_side(path))]
    if not sides:
        raise ValueError(f'none of the images in {folder} that were tried can be read')
    gpu = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return TrainingSetup(len(paths), int(median(sides)), gpu, processes, cores // processes, cpu_has_bfloat16())


def paths_to_measure(paths, most: int = 100) -> list[str]:
    """Take some paths at equal distances."""
    step = max(len(paths) // most, 1)
    return [paths[index] for index in range(0, len(paths), step)][:most]


def short_side(path: str) -> int | None:
    """Read the shorter side of an image in pixels from its header; ``None`` if it is not a readable image."""
    from flsl_mm.datasets.decode import image_hw
    from flsl_mm.datasets.image_file import ImageError

    try:
        return min(image_hw(path))
    except ImageError:
        return None
