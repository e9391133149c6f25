"""Times a detector's training step and inference against its bare backbone on the same picture.

The detector is built from its config as training builds it, optimiser and precision included, with random weights,
pictures, boxes and masks: no data set is needed. The backbone alone does its forward and backward pass, or its forward
pass, on the very batch that the detector's preprocessor makes. The ratios are reported; there is no bound for them.

Random weights score every class alike, below any threshold. So that inference has as much to do as with a trained
detector, the threshold is lowered until about --candidates boxes of a picture pass it on their way to the NMS.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from torch import Tensor, nn

import flsl_mm  # noqa: F401  # before mmdet, which looks for mmcv's operators when it is imported

# isort: split
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules

CONFIG = Path(__file__).parents[2] / 'configs' / 'det' / 'mask-rcnn_flsl-vit-s16_fpn_1x_coco.py'


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path, default=CONFIG, help='detector config (default: Mask R-CNN, ViT-S/16)')
    parser.add_argument('--height', type=int, default=800, help='picture height in pixels (default: 800)')
    parser.add_argument('--width', type=int, default=1333, help='picture width in pixels (default: 1333)')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures a step (default: 1)')
    parser.add_argument('--objects', type=int, default=7, help='objects a picture; COCO has 7 (default: 7)')
    parser.add_argument(
        '--candidates', type=int, default=1000, help='boxes a picture that reach the last NMS (default: 1000)'
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16', 'bfloat16'],
        help="precision (default: the config's own on a GPU, float32 on a CPU)",
    )
    measure.add_device_option(parser)
    measure.add_options(parser, repeats=3)
    return parser


def build(args: argparse.Namespace) -> tuple[nn.Module, Any, torch.dtype]:
    """Build detector, optimiser wrapper and precision as a Runner does, without the checkpoint of the config."""
    if not args.config.is_file():
        raise ValueError(f'no config {args.config}')
    MMLogger.get_instance('benchmark', log_level='WARNING')  # init_weights reports each weight
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(args.config)
    cfg.model.backbone.pop('init_cfg', None)
    dtype = args.dtype or (cfg.optim_wrapper.get('dtype', 'float32') if args.device == 'cuda' else 'float32')
    cfg.optim_wrapper.pop('dtype', None)
    cfg.optim_wrapper.type = 'FLSLOptimWrapper'
    if dtype != 'float32':
        if args.device == 'cpu':
            raise ValueError(f'--dtype {dtype} needs --device cuda')
        cfg.optim_wrapper.update(type='FLSLAmpOptimWrapper', dtype=dtype)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.to(args.device)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 10**6)
    for group in wrapper.optimizer.param_groups:
        group['lr'] = 0.0  # the steps cost the same, and the scores stay where the threshold was set for them
    return model, wrapper, getattr(torch, dtype)


def random_batch(args: argparse.Namespace, num_classes: int) -> dict[str, list]:
    """Make pictures of noise with random boxes, and masks that fill them, as the detector's loader gives them."""
    generator = torch.Generator().manual_seed(0)
    height, width = args.height, args.width
    inputs, samples = [], []
    for number in range(args.batch_size):
        image = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)
        inputs.append(image.pin_memory() if args.device == 'cuda' else image)
        extent = torch.tensor([width, height])
        # Sides of a tenth to a half of the picture's.
        sides = extent * (0.1 + 0.4 * torch.rand(args.objects, 2, generator=generator))
        corner = (extent - sides) * torch.rand(args.objects, 2, generator=generator)
        boxes = torch.cat([corner, corner + sides], dim=1)
        masks = torch.zeros(args.objects, height, width, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
            mask[top : bottom + 1, left : right + 1] = 1
        sample = DetDataSample(
            metainfo=dict(img_id=number, img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        )
        labels = torch.randint(num_classes, (args.objects,), generator=generator)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=BitmapMasks(masks.numpy(), height, width))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def lower_threshold(model: nn.Module, infer: Callable[[], Any], candidates: int) -> float:
    """Lower the score threshold so far that ``candidates`` boxes pass it, and return it."""
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


def get_works(model: nn.Module, wrapper: Any, batch: dict, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """Give what is timed: the detector's step and inference, and the backbone's share that neither can do without."""
    device = next(model.parameters()).device.type
    images = model.data_preprocessor(batch, True)['inputs']

    def autocast() -> torch.autocast:
        return torch.autocast(device, dtype, enabled=dtype != torch.float32)

    def step() -> None:
        model.train()
        model.train_step(batch, wrapper)

    def backbone_step() -> None:
        model.backbone.train()
        with autocast():
            loss = sum(maps.float().square().mean() for maps in model.backbone(images))
        loss.backward()
        model.zero_grad(set_to_none=True)

    @torch.no_grad()
    def infer() -> None:
        model.eval()
        with autocast():
            model.test_step(batch)

    @torch.no_grad()
    def backbone_infer() -> None:
        model.backbone.eval()
        with autocast():
            model.backbone(images)

    return dict(step=step, backbone_step=backbone_step, inference=infer, backbone_inference=backbone_infer)


def run(args: argparse.Namespace) -> dict:
    """Measure and print."""
    if min(args.height, args.width, args.batch_size, args.objects, args.candidates) < 1:
        raise ValueError('--height, --width, --batch-size, --objects and --candidates must be at least 1')
    model, wrapper, dtype = build(args)
    works = get_works(model, wrapper, random_batch(args, model.roi_head.bbox_head.num_classes), dtype)
    threshold = lower_threshold(model, works['inference'], args.candidates * args.batch_size)
    seconds = measure.in_turns(works, args.repeats, args.device, warmup=1)
    numbers = {f'{name}_seconds': statistics.median(durations) for name, durations in seconds.items()}
    numbers.update(
        dtype=str(dtype).removeprefix('torch.'),
        score_threshold=threshold,
        step_ratio=measure.ratio(seconds['step'], seconds['backbone_step']),
        inference_ratio=measure.ratio(seconds['inference'], seconds['backbone_inference']),
        peak_memory=measure.peak_memory(args.device),
        seconds=seconds,
    )
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict) -> None:
    """Print the numbers."""
    print(
        f'{args.config.stem}, {args.width}x{args.height}, batch {args.batch_size}, {numbers["dtype"]}, {args.device}, '
        f'{torch.get_num_threads()} threads, median of {args.repeats}\n'
        f'                  detector  bare backbone  ratio'
    )
    for name in ('step', 'inference'):
        print(
            f'{name:<14}{1e3 * numbers[f"{name}_seconds"]:9.1f} ms{1e3 * numbers[f"backbone_{name}_seconds"]:12.1f} ms'
            f'{numbers[f"{name}_ratio"]:7.2f}'
        )
    print('peak memory   ' + ', '.join(f'{name} {value:.2f}' for name, value in numbers['peak_memory'].items()))


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
