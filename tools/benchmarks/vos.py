"""Times label propagation on a video against the bare backbone's forward pass on a frame of the same size.

The step of a frame is normalization, backbone, propagation from the full context of earlier frames and the mask at the
frame's size; step and forward pass are timed in turns. Weights and frames are random: neither time nor memory depends
on them.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import measure


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = measure.get_parser(__doc__, repeats=20)
    parser.add_argument('--arch', default='small', help='ViT width: tiny, small or base (default: small)')
    parser.add_argument('--patch-size', type=int, default=16, help='patch side in pixels (default: 16)')
    parser.add_argument('--height', type=int, default=480, help='frame height in pixels (default: 480)')
    parser.add_argument('--width', type=int, default=832, help='frame width in pixels (default: 832)')
    parser.add_argument('--objects', type=int, default=3, help='objects in the video (default: 3)')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32', help='backbone precision')
    return parser


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print."""
    import numpy as np
    import torch

    from flsl_mm.vos import FLSLLabelPropagator

    measure.check_positive(args, 'patch_size', 'height', 'width', 'objects')
    if args.height % args.patch_size or args.width % args.patch_size:
        raise ValueError(f'{args.width}x{args.height} is not a multiple of --patch-size {args.patch_size}')
    backbone = dict(type='FLSLViT', arch=args.arch, patch_size=args.patch_size)
    model = FLSLLabelPropagator(backbone, dtype=args.dtype).to(args.device).eval()
    num_frames = 1 + model.previous_frames + args.repeats
    frames = np.random.default_rng(0).integers(256, size=(num_frames, args.height, args.width, 3), dtype=np.uint8)
    # A stripe for the background and for each object.
    stripes = (np.arange(args.width) * (args.objects + 1) // args.width).astype(np.uint8)
    masks = model.segment(frames, np.tile(stripes, (args.height, 1)))
    image = torch.rand(1, 3, args.height, args.width, device=args.device)

    @torch.inference_mode()
    def forward() -> None:
        with torch.autocast(args.device, torch.bfloat16, enabled=args.dtype == 'bfloat16'):
            model.backbone(image)

    # The warm-up fills the context.
    works = dict(frame=lambda: next(masks), backbone=forward)
    seconds = measure.time_alternating(works, args.repeats, args.device, warmup=model.previous_frames)
    numbers = dict(
        measure.medians(seconds),
        ratio=measure.ratio(seconds['frame'], seconds['backbone']),
        peak_memory=measure.peak_memory(args.device),
        seconds=seconds,
    )
    numbers['frames_per_second'] = 1 / numbers['frame_seconds']
    rows = [
        measure.row(
            'a frame', numbers['frame_seconds'], 'bare backbone', numbers['backbone_seconds'], f'{numbers["ratio"]:.2f}'
        ),
        ('frames/s', f'{numbers["frames_per_second"]:.2f}', f'{1 / numbers["backbone_seconds"]:.2f}', ''),
    ]
    title = f'ViT-{args.arch}/{args.patch_size}, {args.width}x{args.height}, {args.objects} objects'
    measure.print_table(title, args, numbers, rows)
    return numbers


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return measure.main(get_parser(), run, argv)


if __name__ == '__main__':
    sys.exit(main())
