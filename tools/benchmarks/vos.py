"""Times label propagation against the bare backbone on the same frames, and prints the peak memory.

For each frame of a synthetic clip, the backbone's forward pass alone and the whole step (normalisation, backbone,
propagation from the full context, mask at the frame's size) are timed one after the other, so that both see the same
machine. Weights are random: time and memory do not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from flsl_mm.models import ARCHS
from flsl_mm.vos import FLSLLabelPropagator


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', choices=sorted(ARCHS), default='small', help='ViT width (default: small)')
    parser.add_argument('--patch-size', type=int, default=16, help='patch side in pixels (default: 16)')
    parser.add_argument('--height', type=int, default=480, help='frame height in pixels (default: 480)')
    parser.add_argument('--width', type=int, default=832, help='frame width in pixels (default: 832)')
    parser.add_argument('--objects', type=int, default=3, help='objects in the clip (default: 3)')
    parser.add_argument('--frames', type=int, default=20, help='frames that are timed (default: 20)')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32', help='backbone precision')
    parser.add_argument('--threads', type=int, help='CPU threads of torch (default: its own choice)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument('--out', type=Path, help='JSON file for the numbers')
    return parser.parse_args()


def synthetic_clip(num_frames: int, size_hw: tuple[int, int], objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a clip of textured squares that move over a textured background.

    Args:
        num_frames: Number of frames.
        size_hw: Height and width in pixels.
        objects: Number of squares.

    Returns:
        Frames (T, H, W, 3) uint8 and the first mask (H, W) uint8.
    """
    generator = np.random.default_rng(0)
    height, width = size_hw
    background = generator.integers(0, 128, (height, width, 3), dtype=np.uint8)
    frames = np.stack([background] * num_frames)
    mask = np.zeros(size_hw, dtype=np.uint8)
    side = min(height, width // (objects + 1)) // 2
    texture = generator.integers(64, 256, (objects, side, side, 3), dtype=np.uint8)
    for number in range(objects):
        top, left = height // 4, (number + 1) * width // (objects + 1) - side
        mask[top : top + side, left : left + side] = number + 1
        for step, frame in enumerate(frames):
            shifted = left + step % side
            frame[top : top + side, shifted : shifted + side] = texture[number, :, : width - shifted]
    return frames, mask


def timed(device: torch.device, work: Callable[[], Any]) -> float:
    """Return the seconds that some work takes, the device's part included."""
    start = time.perf_counter()
    work()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


@torch.inference_mode()
def measure(model: FLSLLabelPropagator, frames: np.ndarray, mask: np.ndarray) -> tuple[list[float], list[float]]:
    """Time backbone and whole step on each frame that has a full context.

    Args:
        model: Model on its device, in evaluation mode.
        frames: Clip (T, H, W, 3), uint8.
        mask: Mask (H, W) of the first frame, uint8.

    Returns:
        Seconds of the bare backbone and of the whole step, a pair a frame.
    """
    device = model.mean.device
    dtype = torch.bfloat16 if model.dtype == 'bfloat16' else torch.float32

    def forward() -> None:
        with torch.autocast(device.type, dtype, enabled=model.dtype != 'float32'):
            model.backbone(image)

    masks = model.segment(frames, mask)
    backbone, whole = [], []
    for number in tqdm(range(1, len(frames)), unit='frame'):
        image = torch.tensor(frames[number], device=device).permute(2, 0, 1).unsqueeze(0).div(255)
        if number <= model.previous_frames:
            next(masks)  # fills the context
            continue
        backbone.append(timed(device, forward))
        whole.append(timed(device, lambda: next(masks)))
    return backbone, whole


def report(args: argparse.Namespace, backbone: list[float], whole: list[float]) -> dict:
    """Summarise the times and the memory."""
    bare, step = statistics.median(backbone), statistics.median(whole)
    numbers = dict(
        setting=dict(vars(args), out=None, torch=torch.__version__, torch_threads=torch.get_num_threads()),
        backbone_seconds=round(bare, 4),
        whole_seconds=round(step, 4),
        ratio=round(step / bare, 3),
        ratio_of_fastest=round(min(whole) / min(backbone), 3),
        peak_rss_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        frames=dict(backbone_seconds=backbone, whole_seconds=whole),
    )
    if args.device.startswith('cuda'):
        numbers['peak_device_gb'] = round(torch.cuda.max_memory_allocated(args.device) / 2**30, 3)
    return numbers


def main() -> int:
    """Run the benchmark and print a line for each number."""
    args = parse_args()
    try:
        if args.frames < 1 or args.objects < 1:
            raise ValueError(f'--frames and --objects must be at least 1, got {args.frames} and {args.objects}')
        if args.height % args.patch_size or args.width % args.patch_size:
            raise ValueError(f'{args.width}x{args.height} is not a multiple of --patch-size {args.patch_size}')
        if args.threads:
            torch.set_num_threads(args.threads)
        backbone = dict(type='FLSLViT', arch=args.arch, patch_size=args.patch_size)
        model = FLSLLabelPropagator(backbone, dtype=args.dtype).to(args.device).eval()
        num_frames = 1 + model.previous_frames + args.frames
        frames, mask = synthetic_clip(num_frames, (args.height, args.width), args.objects)
        numbers = report(args, *measure(model, frames, mask))
        if args.out:
            temporary = args.out.with_name(f'.{args.out.name}.{os.getpid()}')
            temporary.write_text(json.dumps(numbers, indent=2) + '\n')
            os.replace(temporary, args.out)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(
        f'{args.arch}/{args.patch_size}, {args.width}x{args.height}, {args.dtype}, {torch.get_num_threads()} threads, '
        f'{model.previous_frames + 1} context frames, median of {args.frames} frames\n'
        f'backbone alone     {numbers["backbone_seconds"]:.3f} s a frame\n'
        f'label propagation  {numbers["whole_seconds"]:.3f} s a frame, backbone included\n'
        f'ratio              {numbers["ratio"]:.2f} (of the fastest frames: {numbers["ratio_of_fastest"]:.2f})\n'
        f'peak memory        {numbers["peak_rss_gb"]:.2f} GB of the whole process'
        + (f', {numbers["peak_device_gb"]:.2f} GB on the device' if 'peak_device_gb' in numbers else '')
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
