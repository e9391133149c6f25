"""A tiny DAVIS tree and a toy backbone for tests."""

from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from flsl_mm.datasets.palette import write_palette_mask

COLORS = np.array([[40, 40, 40], [230, 30, 30], [30, 230, 30], [30, 30, 230]], np.uint8)
"""Color of the background and of objects 1 to 3."""


@MODELS.register_module()
class ToyColorBackbone(BaseModule):
    """Mean color of square cells as features (B, 3, h, w), times a weight per channel that files can hold."""

    def __init__(self, cell: int = 8) -> None:
        super().__init__()
        self.cell = cell
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Pool the colors."""
        return (F.avg_pool2d(images, self.cell) * self.scale,)


def moving_squares(num_frames: int, ids: tuple[int, ...], size_hw: tuple[int, int] = (64, 128)) -> np.ndarray:
    """Make masks (T, H, W) of 24-pixel squares that move right by 8 pixels a frame, one below the other."""
    masks = np.zeros((num_frames, *size_hw), np.uint8)
    for row, number in enumerate(ids):
        for t in range(num_frames):
            masks[t, 32 * row : 32 * row + 24, 8 + 8 * t : 32 + 8 * t] = number
    return masks


def write_video(root: Path, name: str, masks: np.ndarray, year: int = 2017) -> None:
    """Write a video whose frames show each object of the masks in its color."""
    frames, annotations = (root / kind / '480p' / name for kind in ('JPEGImages', 'Annotations'))
    for folder in (frames, annotations):
        folder.mkdir(parents=True)
    for t, mask in enumerate(masks):
        Image.fromarray(COLORS[mask % len(COLORS)]).save(frames / f'{t:05d}.jpg', quality=95)
        if year == 2017:
            write_palette_mask(annotations / f'{t:05d}.png', mask)
        else:
            Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).save(annotations / f'{t:05d}.png')


def write_tree(root: Path, videos: dict[str, np.ndarray], year: int = 2017) -> Path:
    """Write a tree with the official list of its year."""
    for name, masks in videos.items():
        write_video(root, name, masks, year)
    lists = root / 'ImageSets' / ('2017' if year == 2017 else '480p')
    lists.mkdir(parents=True)
    if year == 2017:
        lines = list(videos)
    else:
        lines = [
            f'/JPEGImages/480p/{name}/{t:05d}.jpg /Annotations/480p/{name}/{t:05d}.png'
            for name, masks in videos.items()
            for t in range(len(masks))
        ]
    (lists / 'val.txt').write_text('\n'.join(lines) + '\n')
    return root
