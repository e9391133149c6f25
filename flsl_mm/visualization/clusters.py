"""Clusters of patch features drawn over images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from flsl_mm.utils.fileio import atomic_writer


def cluster_colors(count: int) -> np.ndarray:
    """Return ``count`` well-distinct RGB colors (count, 3), uint8; the first, of the largest cluster, is gray."""
    import matplotlib  # only for its colors, which a start need not wait for

    base = np.concatenate([matplotlib.colormaps[name].colors for name in ('Set1', 'Dark2', 'Set2')])
    base = np.concatenate([[[0.45, 0.45, 0.45]], base[(base.std(-1) > 0.08)]])
    return (255 * base[np.arange(count) % len(base)]).astype(np.uint8)


def paint_clusters(image: np.ndarray, labels: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay the patches' cluster colors over an image.

    Args:
        image: Image (H, W, 3), uint8.
        labels: Cluster of each patch (h, w), 0 or more, on a grid that spans the image.
        opacity: Share of the color, 0 to 1.

    Returns:
        Image (H, W, 3), uint8.
    """
    colors = enlarged(cluster_colors(int(labels.max()) + 1)[labels], image.shape[:2])
    return (image * (1 - opacity) + colors * opacity).astype(np.uint8)


def enlarged(patches: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Assign each pixel of an image of ``size_hw`` the value of its patch, of values (h, w, ...)."""
    rows, columns = (np.arange(size) * count // size for size, count in zip(size_hw, patches.shape, strict=False))
    return patches[rows][:, columns]


def image_grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], path: str | Path, scale: int = 1) -> Path:
    """Write a grid of equally large images with a title above each column.

    Args:
        rows: Rows of images (H, W, 3), uint8.
        titles: One title a column.
        path: PNG file to write; its folder must exist.
        scale: Whole factor by which images are enlarged.

    Returns:
        The path.
    """
    gap, band = 6, 22
    images = torch.from_numpy(np.stack([image for row in rows for image in row])).permute(0, 3, 1, 2)
    enlarged = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    grid = make_grid(enlarged, nrow=len(titles), padding=gap, pad_value=255)
    canvas = Image.new('RGB', (grid.shape[2], band + grid.shape[1]), 'white')
    canvas.paste(to_pil_image(grid), (0, band))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        center = gap + (column + 0.5) * enlarged.shape[3] + column * gap
        draw.text((center, (band + gap) / 2), title, fill='black', font=font, anchor='mm')
    with atomic_writer(path) as file:
        canvas.save(file, format='PNG')
    return Path(path)
