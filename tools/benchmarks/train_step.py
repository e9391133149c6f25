"""Times one optimizer step of FLSL against the least that it contains: bare timm ViTs on the same views.

The step is the one that training does: views of a uint8 batch, teacher, student, mean shift, heads, losses, backward
pass, clipping, optimizer, EMA. In turns with it are timed

  bare ViTs     timm's ViT of the same size on views that are there: the student's forward and backward pass and the
                teacher's forward pass, without head, loss, drop path or optimizer
  matrix rate   a large matrix product in the same precision; the step's share of that rate is the matrix arithmetic
                of the bare ViTs (counted by torch) per second of the whole step
  views         alone, as a share of the step, and beside a large copy: the uint8 batch read and all float32 views
                written once are the least bytes to move
  compiled      with --compile: step and bare ViTs once more with their blocks compiled

Then each part of the step is timed by itself, with the device waited for at its borders.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG = measure.ROOT / 'configs' / 'pretrain' / 'flsl_vit-s16.py'
COPY_BYTES = {'cpu': 2**28, 'cuda': 2**31}
MATRIX_SIDE = {'cpu': 2048, 'cuda': 8192}


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = measure.get_parser(__doc__, repeats=10)
    parser.add_argument('--config', type=Path, default=CONFIG, help='pretraining config (default: flsl_vit-s16.py)')
    parser.add_argument('--batch-size', type=int, default=8, help='images per step (default: 8)')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32', help='(default: float32)')
    parser.add_argument('--compile', action='store_true', help='also time compiled blocks, ours and timm’s')
    return parser


class Trial:
    """A training step on a batch of noise, and the bare ViTs on the same views.

    Args:
        args: Options of the program, with the device.
        compiled: Whether the transformer blocks of both are compiled.
    """

    def __init__(self, args: argparse.Namespace, compiled: bool = False) -> None:
        import torch
        from mmengine.optim import build_optim_wrapper
        from mmengine.registry import MODELS

        from flsl_mm.engine.hooks.compile import compile_blocks

        cfg = measure.read_config(args.config, 'FLSL')
        cfg.optim_wrapper.type = 'FLSLOptimWrapper' if args.dtype == 'float32' else 'FLSLAmpOptimWrapper'
        torch.manual_seed(0)
        self.model = MODELS.build(cfg.model)
        with measure.quiet():
            self.model.init_weights()
        self.model = self.model.to(args.device).train()
        self.wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.wrapper.initialize_count_status(self.model, 0, 10**6)
        size = cfg.model.data_preprocessor.global_crops.size
        images = torch.randint(256, (args.batch_size, 3, size, size), dtype=torch.uint8)
        self.images = images.to(args.device)
        self.batch = dict(inputs=images.pin_memory() if args.device == 'cuda' else images)
        self.views = self.make_views()
        self.student = bare_vit(self.model.backbone, size).to(args.device).train()
        self.teacher = bare_vit(self.model.backbone, size).to(args.device).eval()
        self.autocast = torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32')
        if compiled:
            for network in (self.model, self.student, self.teacher):
                compile_blocks(network)

    def step(self) -> None:
        """Train."""
        self.model.train_step(self.batch, self.wrapper)

    def make_views(self) -> list[Tensor]:
        """Make the views of a batch that is on the device."""
        return self.model.data_preprocessor(dict(inputs=self.images), True)['inputs']['views']

    def limit(self) -> None:
        """Do what no step can do without: the student's forward and backward pass and the teacher's forward pass."""
        import torch

        teacher_view, *student_views = self.views
        with self.autocast:
            with torch.no_grad():
                self.teacher(teacher_view)
            sizes = groupby(student_views, key=lambda view: view.shape)
            loss = sum(self.student(torch.cat(list(group))).float().square().mean() for _, group in sizes)
        loss.backward()
        self.student.zero_grad(set_to_none=True)


def bare_vit(backbone: nn.Module, image_size: int) -> nn.Module:
    """Build timm's ViT of a backbone's size."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=image_size,
        patch_size=backbone.patch_size,
        embed_dim=backbone.embed_dim,
        depth=len(backbone.blocks),
        num_heads=backbone.blocks[0].attn.num_heads,
        num_classes=0,
        global_pool='',
        class_token=False,
        dynamic_img_size=True,
    )


def time_step_alternating(trial: Trial, args: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Time the step, the bare ViTs, the views, a copy and a matrix product in turns.

    Returns:
        Seconds of each turn by name, and how much there is of each, as :func:`summarize` takes it.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        trial.limit()
    source = torch.ones(COPY_BYTES[args.device] // 4, device=args.device)
    target = torch.empty_like(source)
    side = MATRIX_SIDE[args.device]
    left, right = (torch.randn(side, side, dtype=getattr(torch, args.dtype), device=args.device) for _ in range(2))
    works = dict(
        step=trial.step,
        limit=trial.limit,
        views=trial.make_views,
        copy=lambda: target.copy_(source),
        product=lambda: left @ right,
    )
    if args.compile:
        compiled = Trial(args, compiled=True)
        works.update(compiled_step=compiled.step, compiled_limit=compiled.limit)
    # The number of samples that drop path keeps varies: kernels are compiled again in the first steps.
    seconds = measure.time_alternating(works, args.repeats, args.device, warmup=5 if args.compile else 2)
    amounts = dict(
        images=args.batch_size,
        step_flops=counter.get_total_flops(),
        product_flops=2 * side**3,
        view_bytes=trial.images.nbytes + sum(view.nbytes for view in trial.views),
        copy_bytes=2 * source.nbytes,
    )
    return seconds, amounts


class Stopwatch:
    """Adds up the seconds spent in functions; the time of an inner one does not count for the outer one."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.running: list[str] = []
        self.since = measure.perf_counter()

    def record(self) -> None:
        """Charge the time since the last call to the innermost part that runs."""
        measure.synchronize(self.device)
        now = measure.perf_counter()
        if self.running:
            self.seconds[self.running[-1]] += now - self.since
        self.since = now

    def wrap(self, owner: Any, method: str, part: str) -> None:
        """Replace a method of an object with one that is timed as ``part``."""
        function: Callable = getattr(owner, method)

        def timed_function(*args, **kwargs):
            self.record()
            self.running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.record()
                self.running.pop()

        setattr(owner, method, timed_function)


def time_parts(trial: Trial, args: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of each part of a step; the rest of a part is what no inner part takes."""
    model, wrapper = trial.model, trial.wrapper
    watch = Stopwatch(args.device)
    wrapped = (
        (model.data_preprocessor, 'forward', 'views: to the device'),
        (model.data_preprocessor, 'crop', 'views: crops'),
        (model.data_preprocessor, 'jitter', 'views: jitter'),
        (model.teacher.backbone, 'forward', 'teacher'),
        (model.backbone, 'forward', 'student'),
        (model, 'loss', 'mean shift, heads, losses'),
        (wrapper, 'backward', 'backward'),
        (wrapper, '_clip_grad', 'clip'),
        (wrapper.optimizer, 'step', 'optimizer'),
        (model.teacher, 'update', 'EMA'),
    )
    for owner, method, part in wrapped:
        watch.wrap(owner, method, part)
    laps = []
    for _ in range(args.repeats):
        watch.seconds.clear()
        trial.step()
        laps.append(dict(watch.seconds))
    return {part: statistics.median(lap[part] for lap in laps) for *_, part in wrapped}


def summarize(seconds: dict[str, list[float]], amounts: dict[str, int]) -> dict[str, float]:
    """Turn the seconds of each turn, by name, into figures, limits and ratios.

    ``amounts`` has the ``images`` of a step, the matrix arithmetic of the bare ViTs (``step_flops``) and of the matrix
    product (``product_flops``), and the bytes that the views move at least (``view_bytes``) and the copy
    (``copy_bytes``), read and written.
    """
    least_views = [amounts['view_bytes'] / amounts['copy_bytes'] * copy for copy in seconds['copy']]
    of_product = amounts['step_flops'] / amounts['product_flops']
    numbers = measure.medians(dict(seconds, least_views=least_views))
    numbers.update(
        ratio=measure.ratio(seconds['step'], seconds['limit']),
        images_per_second=amounts['images'] / numbers['step_seconds'],
        matrix_flops_per_second=amounts['product_flops'] / numbers['product_seconds'],
        matrix_share=of_product * measure.ratio(seconds['product'], seconds['step']),
        views_share=measure.ratio(seconds['views'], seconds['step']),
        views_ratio=measure.ratio(seconds['views'], least_views),
    )
    if 'compiled_step' in seconds:
        numbers.update(
            compiled_ratio=measure.ratio(seconds['compiled_step'], seconds['compiled_limit']),
            compiled_share=measure.ratio(seconds['compiled_step'], seconds['step']),
        )
    return numbers


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print."""
    measure.check_positive(args, 'batch_size')
    trial = Trial(args)
    trial.step()
    memory = measure.peak_memory(args.device)
    seconds, amounts = time_step_alternating(trial, args)
    trained = [parameter for parameter in trial.model.parameters() if parameter.requires_grad]
    numbers = dict(
        summarize(seconds, amounts),
        parts_seconds=time_parts(trial, args),
        peak_memory=memory,
        gradient_bytes=sum(parameter.numel() * parameter.element_size() for parameter in trained),
        amounts=amounts,
        seconds=seconds,
    )
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict[str, Any]) -> None:
    """Print the table."""
    rate, share = numbers['matrix_flops_per_second'] / 1e12, numbers['matrix_share']
    step, views, least = (numbers[f'{name}_seconds'] for name in ('step', 'views', 'least_views'))
    rows = [
        measure.row('step', step, 'bare ViTs', numbers['limit_seconds'], f'{numbers["ratio"]:.3f}'),
        ('images/s', f'{numbers["images_per_second"]:,.1f}', '', ''),
        ('matrix rate', f'{share * rate:.2f} TFLOP/s', f'product {rate:.2f} TFLOP/s', f'{share:.1%}'),
        measure.row('views', views, 'step', step, f'{numbers["views_share"]:.1%}'),
        measure.row('views', views, 'least bytes', least, f'{numbers["views_ratio"]:.1f}'),
    ]
    if 'compiled_ratio' in numbers:
        compiled, limit = (numbers[f'compiled_{name}_seconds'] for name in ('step', 'limit'))
        rows.append(measure.row('compiled step', compiled, 'compiled ViTs', limit, f'{numbers["compiled_ratio"]:.3f}'))
        rows.append(measure.row('compiled step', compiled, 'step', step, f'{numbers["compiled_share"]:.3f}'))
    rows += [(f'  {part}', f'{1e3 * seconds:,.1f} ms', '', '') for part, seconds in numbers['parts_seconds'].items()]
    rows.append(('gradients', f'{numbers["gradient_bytes"] / 1e6:.1f} MB', '', ''))
    measure.print_table(f'{args.config.stem}, batch {args.batch_size}', args, numbers, rows)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return measure.main(get_parser(), run, argv)


if __name__ == '__main__':
    sys.exit(main())
