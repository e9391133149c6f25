"""Times a detector's training step and inference against its bare backbone on the same image.

The detector is built from its config as training builds it, optimizer and precision included, with random weights,
images, boxes and masks: no data set is needed. The limit is the backbone alone: forward and backward pass, or forward
pass, on the very batch that the detector's preprocessor makes.

Random weights score every class alike, below any threshold. So that inference has as much to do as with a trained
detector, the threshold is lowered until about --candidates boxes of an image pass it on their way to the NMS.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CONFIG = measure.ROOT / 'configs' / 'det' / 'mask-rcnn_flsl-vit-s16_fpn_1x_coco.py'


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = measure.get_parser(__doc__, repeats=3)
    parser.add_argument('--config', type=Path, default=CONFIG, help='detector config (default: Mask R-CNN, ViT-S/16)')
    parser.add_argument('--height', type=int, default=800, help='image height in pixels (default: 800)')
    parser.add_argument('--width', type=int, default=1333, help='image width in pixels (default: 1333)')
    parser.add_argument('--batch-size', type=int, default=1, help='images per step (default: 1)')
    parser.add_argument('--objects', type=int, default=7, help='objects per image; COCO has 7 (default: 7)')
    parser.add_argument(
        '--candidates', type=int, default=1000, help='boxes per image that reach the last NMS (default: 1000)'
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16', 'bfloat16'],
        help="precision (default: the config's own on a GPU, float32 on a CPU)",
    )
    return parser


def build(args: argparse.Namespace) -> tuple[nn.Module, Any]:
    """Build detector and optimizer wrapper as a Runner does, without the checkpoint of the config."""
    import torch
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import MODELS, init_default_scope

    cfg = measure.read_config(args.config)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.pop('init_cfg', None)
    own_dtype = cfg.optim_wrapper.pop('dtype', 'float32')
    args.dtype = args.dtype or (own_dtype if args.device == 'cuda' else 'float32')
    cfg.optim_wrapper.type = 'FLSLOptimWrapper'
    if args.dtype != 'float32':
        if args.device == 'cpu':
            raise ValueError(f'--dtype {args.dtype} needs --device cuda')
        cfg.optim_wrapper.update(type='FLSLAmpOptimWrapper', dtype=args.dtype)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    with measure.quiet():
        model.init_weights()
    model = model.to(args.device)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 10**6)
    for group in wrapper.optimizer.param_groups:
        group['lr'] = 0.0  # the steps cost the same, and the scores stay where the threshold was set for them
    return model, wrapper


def random_batch(args: argparse.Namespace, num_classes: int) -> dict[str, list]:
    """Make images, boxes and masks of random numbers as the detector's loader gives them."""
    from mmdet.testing import demo_mm_inputs

    shapes, counts = [(3, args.height, args.width)] * args.batch_size, [args.objects] * args.batch_size
    batch = demo_mm_inputs(args.batch_size, shapes, counts, with_mask=True)
    for sample in batch['data_samples']:
        sample.gt_instances.labels %= num_classes
        del sample.ignored_instances
    return batch


def lower_threshold(model: nn.Module, infer: Callable[[], Any], candidates: int) -> float:
    """Lower the score threshold so far that ``candidates`` boxes pass it, and return it."""
    import torch

    scores = []

    def keep_scores(head: nn.Module, inputs: tuple, outputs: tuple[Tensor, ...]) -> None:
        scores.append(outputs[0].float().softmax(-1)[:, :-1].flatten())

    hook = model.roi_head.bbox_head.register_forward_hook(keep_scores)
    infer()
    hook.remove()
    scores = torch.cat(scores)
    threshold = float(scores.topk(min(candidates, len(scores))).values[-1])
    # Only scores above the threshold pass.
    model.roi_head.test_cfg.score_thr = min(threshold * (1 - 1e-6), model.roi_head.test_cfg.score_thr)
    return model.roi_head.test_cfg.score_thr


def build_workloads(model: nn.Module, wrapper: Any, batch: dict, dtype: str) -> dict[str, Callable[[], Any]]:
    """Return what is timed: the detector's step and inference, and the backbone's share that neither can do without."""
    import torch

    device = next(model.parameters()).device.type
    images = model.data_preprocessor(batch, True)['inputs']

    def autocast() -> torch.autocast:
        return torch.autocast(device, getattr(torch, dtype), enabled=dtype != 'float32')

    def step() -> None:
        model.train()
        model.train_step(batch, wrapper)

    def backbone_step() -> None:
        model.backbone.train()
        with autocast():
            loss = sum(maps.float().square().mean() for maps in model.backbone(images))
        loss.backward()
        model.zero_grad(set_to_none=True)

    def infer() -> None:
        model.eval()
        with torch.no_grad(), autocast():
            model.test_step(batch)

    def backbone_infer() -> None:
        model.backbone.eval()
        with torch.no_grad(), autocast():
            model.backbone(images)

    return dict(step=step, backbone_step=backbone_step, inference=infer, backbone_inference=backbone_infer)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print."""
    measure.check_positive(args, 'height', 'width', 'batch_size', 'objects', 'candidates')
    model, wrapper = build(args)
    works = build_workloads(model, wrapper, random_batch(args, model.roi_head.bbox_head.num_classes), args.dtype)
    threshold = lower_threshold(model, works['inference'], args.candidates * args.batch_size)
    seconds = measure.time_alternating(works, args.repeats, args.device, warmup=1)
    names = ('step', 'inference')
    numbers = dict(
        measure.medians(seconds),
        **{f'{name}_ratio': measure.ratio(seconds[name], seconds[f'backbone_{name}']) for name in names},
        score_threshold=threshold,
        peak_memory=measure.peak_memory(args.device),
        seconds=seconds,
    )
    rows = [
        measure.row(
            name,
            numbers[f'{name}_seconds'],
            'bare backbone',
            numbers[f'backbone_{name}_seconds'],
            f'{numbers[f"{name}_ratio"]:.2f}',
        )
        for name in names
    ]
    measure.print_table(f'{args.config.stem}, {args.width}x{args.height}, batch {args.batch_size}', args, numbers, rows)
    return numbers


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return measure.main(get_parser(), run, argv)


if __name__ == '__main__':
    sys.exit(main())
