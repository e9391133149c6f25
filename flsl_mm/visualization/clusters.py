"""Pictures of what patch features learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flsl_mm.fileio import atomic_writer


def cluster_colors(count: int) -> np.ndarray:
    """Return ``count`` well-distinct RGB colours (count, 3), uint8; the first, of the largest cluster, is grey."""
    base = np.concatenate([matplotlib.colormaps[name].colors for name in ('Set1', 'Dark2', 'Set2')])
    base = np.concatenate([[[0.45, 0.45, 0.45]], base[(base.std(-1) > 0.08)]])
    return (255 * base[np.arange(count) % len(base)]).astype(np.uint8)


def paint_clusters(image: np.ndarray, labels: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay the patches' cluster colours over a picture.

    Args:
        image: Picture (H, W, 3), uint8.
        labels: Cluster of each patch (h, w), 0 or more; h divides H and w divides W.
        opacity: Share of the colour, 0 to 1.

    Returns:
        Picture (H, W, 3), uint8.
    """
    rows, cols = image.shape[0] // labels.shape[0], image.shape[1] // labels.shape[1]
    colors = cluster_colors(int(labels.max()) + 1)[labels].repeat(rows, 0).repeat(cols, 1)
    return (image * (1 - opacity) + colors * opacity).astype(np.uint8)


def picture_grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], path: str | Path, scale: int = 1) -> Path:
    """Write a grid of equally large pictures with a title above each column.

    Args:
        rows: Rows of pictures (H, W, 3), uint8.
        titles: One title a column.
        path: PNG file to write; its folder must exist.
        scale: Whole factor by which pictures are enlarged.

    Returns:
        The path.
    """
    gap, band = 6, 22
    height, width = (side * scale for side in rows[0][0].shape[:2])
    canvas = Image.new('RGB', (len(titles) * (width + gap) + gap, band + len(rows) * (height + gap)), 'white')
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        left = gap + column * (width + gap)
        draw.text((left + width / 2, band / 2), title, fill='black', font=font, anchor='mm')
        for row, pictures in enumerate(rows):
            picture = Image.fromarray(pictures[column]).resize((width, height), Image.Resampling.NEAREST)
            canvas.paste(picture, (left, band + row * (height + gap)))
    with atomic_writer(path) as file:
        canvas.save(file, format='PNG')
    return Path(path)
