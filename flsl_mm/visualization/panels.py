"""Draw heat maps, colors, marked points, and an object with its box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .paint_clusters import enlarged

RED = (255, 40, 40)


def heat_map(values: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Draw values of patches from dark blue, the lowest of them, to yellow, the highest.

    Args:
        values: Values (h, w); where all are equal, the image is dark blue.
        size_hw: Height and width of the image.

    Returns:
        Image (H, W, 3), uint8.
    """
    span = np.ptp(values)
    stretched = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    colors = heat_colors()
    return enlarged(colors[(stretched * (len(colors) - 1)).round().astype(int)], size_hw)


def heat_colors(count: int = 256) -> np.ndarray:
    """Return the colors of heat maps, ``count`` of 256 at equal distances (count, 3), uint8."""
    import matplotlib  # only for its colors, which a start need not wait for

    colors = (255 * np.array(matplotlib.colormaps['viridis'].colors)).round().astype(np.uint8)
    return colors[np.linspace(0, len(colors) - 1, count).round().astype(int)]


def color_map(colors: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Draw colors of patches (h, w, 3), 0 to 1, as an image (H, W, 3), uint8."""
    return enlarged((255 * colors).round().astype(np.uint8), size_hw)


def mark_points(image: np.ndarray, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Draw a ring, white round red, at each point.

    Args:
        image: Image (H, W, 3), uint8.
        points: Across and down, in parts of the width and height.
    """
    drawn = Image.fromarray(image)
    draw = ImageDraw.Draw(drawn)
    radius = max(3, max(drawn.size) // 40)
    for across, down in points:
        center = across * drawn.width, down * drawn.height
        for color, reach, width in (('white', radius + 2, 6), (RED, radius, 2)):
            draw.ellipse([*(c - reach for c in center), *(c + reach for c in center)], outline=color, width=width)
    return np.array(drawn)


def mark_boxes(
    image: np.ndarray, boxes: Sequence[Sequence[float]], colors: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """Draw boxes, each in its color.

    Args:
        image: Image (H, W, 3), uint8.
        boxes: Left, top, width and height, in parts of the width and height.
        colors: A color of each.
    """
    drawn = Image.fromarray(image)
    draw = ImageDraw.Draw(drawn)
    for (left, top, width, height), color in zip(boxes, colors, strict=True):
        right, bottom = (left + width) * drawn.width - 1, (top + height) * drawn.height - 1
        draw.rectangle([left * drawn.width, top * drawn.height, right, bottom], outline=color, width=4)
    return np.array(drawn)


def mark_patches(image: np.ndarray, chosen: np.ndarray, opacity: float = 0.55) -> np.ndarray:
    """Darken the patches of an image (H, W, 3), uint8, that are not chosen, (h, w), bool."""
    outside = ~enlarged(chosen, image.shape[:2])
    marked = image.copy()
    marked[outside] = (image[outside] * (1 - opacity)).astype(np.uint8)
    return marked


def paint_object(image: np.ndarray, mask: np.ndarray, box: Sequence[float], opacity: float = 0.65) -> np.ndarray:
    """Darken all but an object and draw its box in red.

    Args:
        image: Image (H, W, 3), uint8.
        mask: Patches of the object (h, w), bool.
        box: Left, top, right and bottom, in patches.
        opacity: Share of black outside.

    Returns:
        Image (H, W, 3), uint8.
    """
    drawn = Image.fromarray(mark_patches(image, mask, opacity))
    across, down = drawn.width / mask.shape[1], drawn.height / mask.shape[0]
    left, top, right, bottom = (round(c * s) for c, s in zip(box, (across, down, across, down), strict=True))
    ImageDraw.Draw(drawn).rectangle([left, top, right - 1, bottom - 1], outline=RED, width=3)
    return np.array(drawn)
