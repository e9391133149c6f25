"""Times one optimiser step of FLSL against the least that it contains: bare timm ViTs on the same views.

The step is the one that training does: views of a uint8 batch, teacher, student, mean shift, heads, losses, backward
pass, clipping, optimiser, EMA. The limit is timm's own ViT of the same size: the student's forward and backward pass on
the student views and the teacher's forward pass on the teacher view, on views that are there, without head, loss, drop
path or optimiser. Then each part is timed by itself, with the device waited for at its borders.

FLOP utilisation is the matrix arithmetic of the limit (counted by torch) per second of the whole step, as a share of a
large matrix product's rate in the same precision, measured in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import measure
import timm
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import flsl_mm.selfsup  # noqa: F401
from flsl_mm.engine.hooks.compile import compile_blocks
from flsl_mm.selfsup import FLSL

CONFIG = Path(__file__).parents[2] / 'configs' / 'pretrain' / 'flsl_vit-s16.py'
PARTS = ('views', 'teacher', 'student', 'mean shift, heads, losses', 'backward', 'clip', 'optimiser', 'EMA')


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path, default=CONFIG, help='pretraining config (default: flsl_vit-s16.py)')
    parser.add_argument('--batch-size', type=int, default=8, help='images a step (default: 8)')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32', help='(default: float32)')
    parser.add_argument('--compile', action='store_true', help='compile the blocks of both, ours and timm’s')
    measure.add_device_option(parser)
    measure.add_options(parser, repeats=10)
    return parser


def build_step(args: argparse.Namespace) -> tuple[FLSL, Any, dict]:
    """Build model, optimiser wrapper and a batch of noise as the loader gives it."""
    if not args.config.is_file():
        raise ValueError(f'no config {args.config}')
    MMLogger.get_instance('benchmark', log_level='WARNING')  # init_weights reports each weight
    cfg = Config.fromfile(args.config)
    if cfg.model.type != 'FLSL':
        raise ValueError(f'{args.config} is no pretraining config: its model is {cfg.model.type}, not FLSL')
    cfg.optim_wrapper.type = 'FLSLOptimWrapper' if args.dtype == 'float32' else 'FLSLAmpOptimWrapper'
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.to(args.device).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 10**6)
    size = cfg.train_dataloader.dataset.size
    inputs = torch.randint(256, (args.batch_size, 3, size, size), dtype=torch.uint8)
    return model, wrapper, dict(inputs=inputs.pin_memory() if args.device == 'cuda' else inputs)


def bare_vits(model: FLSL) -> tuple[nn.Module, nn.Module]:
    """Build timm's ViT of the student's size twice: to train, and to evaluate as a teacher."""

    def build() -> nn.Module:
        backbone = model.backbone
        vit = timm.models.vision_transformer.VisionTransformer(
            **backbone.spec.arch,
            img_size=max(crops.size for crops in model.data_preprocessor.crops),
            patch_size=backbone.patch_size,
            num_classes=0,
            global_pool='',
            class_token=False,
            dynamic_img_size=True,
        )
        return vit.to(next(model.parameters()).device)

    return build().train(), build().eval().requires_grad_(False)


def bare_step(student: nn.Module, teacher: nn.Module, views: list[Tensor], dtype: torch.dtype) -> None:
    """Do what no step can do without: the student's forward and backward pass and the teacher's forward pass."""
    teacher_view, *student_views = views
    device = teacher_view.device.type
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        with torch.no_grad():
            teacher(teacher_view)
        outputs = [student(torch.cat([*group])) for _, group in groupby(student_views, key=lambda view: view.shape[-1])]
        loss = sum(output.float().square().mean() for output in outputs)
    loss.backward()
    student.zero_grad(set_to_none=True)


class Stopwatch:
    """Adds up the seconds spent in functions; the time of an inner one does not count for the outer one."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.running: list[str] = []
        self.since = time.perf_counter()

    def lap(self) -> None:
        """Charge the time since the last call to the innermost part that runs."""
        measure.synchronize(self.device)
        now = time.perf_counter()
        if self.running:
            self.seconds[self.running[-1]] += now - self.since
        self.since = now

    def wrap(self, owner: Any, method: str, part: str) -> None:
        """Replace a method of an object with one that is timed as ``part``."""
        function: Callable = getattr(owner, method)

        def timed_function(*args, **kwargs):
            self.lap()
            self.running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.lap()
                self.running.pop()

        setattr(owner, method, timed_function)


def time_parts(model: FLSL, wrapper: Any, step: Callable[[], Any], args: argparse.Namespace) -> dict[str, float]:
    """Give the median milliseconds of each part of a step; the rest of a part is what no inner part takes."""
    watch = Stopwatch(args.device)
    watch.wrap(model.data_preprocessor, 'forward', 'views')
    watch.wrap(model.teacher.backbone, 'forward', 'teacher')
    watch.wrap(model.backbone, 'forward', 'student')
    watch.wrap(model, 'loss', 'mean shift, heads, losses')
    watch.wrap(wrapper, 'backward', 'backward')
    watch.wrap(wrapper, '_clip_grad', 'clip')
    watch.wrap(wrapper.optimizer, 'step', 'optimiser')
    watch.wrap(model.teacher, 'update', 'EMA')
    laps = []
    for _ in range(args.repeats):
        watch.seconds.clear()
        step()
        laps.append(dict(watch.seconds))
    return {part: round(1e3 * statistics.median(lap[part] for lap in laps), 2) for part in PARTS}


def matrix_rate(dtype: torch.dtype, device: str, repeats: int) -> float:
    """Measure the FLOP/s of a large matrix product."""
    side = 8192 if device == 'cuda' else 2048
    left, right = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    seconds = measure.in_turns({'matrix product': lambda: left @ right}, repeats, device)['matrix product']
    return 2 * side**3 / statistics.median(seconds)


def run(args: argparse.Namespace) -> dict:
    """Measure and print."""
    dtype = getattr(torch, args.dtype)
    model, wrapper, batch = build_step(args)
    student, teacher = bare_vits(model)
    if args.compile:
        for network in (model, student, teacher):
            compile_blocks(network)
    views = model.data_preprocessor(batch, True)['inputs']['views']

    def step() -> None:
        model.train_step(batch, wrapper)

    def limit() -> None:
        bare_step(student, teacher, views, dtype)

    with FlopCounterMode(display=False) as counter:
        limit()
    seconds = measure.in_turns(dict(step=step, limit=limit), args.repeats, args.device)
    ratio = measure.ratio(seconds['step'], seconds['limit'])
    memory = measure.peak_memory(args.device)
    rate = matrix_rate(dtype, args.device, args.repeats)
    step_seconds = statistics.median(seconds['step'])
    numbers = dict(
        step_seconds=step_seconds,
        limit_seconds=statistics.median(seconds['limit']),
        ratio=ratio,
        images_per_second=args.batch_size / step_seconds,
        limit_tflop=counter.get_total_flops() / 1e12,
        matrix_tflops=rate / 1e12,
        flop_utilisation=counter.get_total_flops() / step_seconds / rate,
        parts_ms=time_parts(model, wrapper, step, args),
        peak_memory=memory,
        seconds=seconds,
    )
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict) -> None:
    """Print the numbers."""
    print(
        f'{args.config.stem}, batch {args.batch_size}, {args.dtype}, {args.device}, {torch.get_num_threads()} threads, '
        f'median of {args.repeats}\n'
        f'step              {1e3 * numbers["step_seconds"]:9.1f} ms   {numbers["images_per_second"]:.1f} images/s\n'
        f'bare timm ViTs    {1e3 * numbers["limit_seconds"]:9.1f} ms\n'
        f'ratio             {numbers["ratio"]:9.3f}\n'
        f'FLOP utilisation  {numbers["flop_utilisation"]:9.1%} of {numbers["matrix_tflops"]:.2f} TFLOP/s'
    )
    for part, milliseconds in numbers['parts_ms'].items():
        print(f'  {part:<26}{milliseconds:9.1f} ms')
    print('peak memory       ' + ', '.join(f'{name} {value:.2f}' for name, value in numbers['peak_memory'].items()))


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
