"""Draw clusters of patches over images."""

from __future__ import annotations

import numpy as np


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


def outline_clusters(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw the borders between clusters in white, two pixels wide.

    Args:
        image: Image (H, W, 3), uint8.
        labels: Cluster of each patch (h, w), on a grid that spans the image.

    Returns:
        Image (H, W, 3), uint8.
    """
    of_pixels = enlarged(labels, image.shape[:2])
    border = np.zeros(of_pixels.shape, bool)
    across, down = of_pixels[:, 1:] != of_pixels[:, :-1], of_pixels[1:] != of_pixels[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    outlined = image.copy()
    outlined[border] = 255
    return outlined


def enlarged(patches: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Assign each pixel of an image of ``size_hw`` the value of its patch, of values (h, w, ...)."""
    rows, columns = (np.arange(size) * count // size for size, count in zip(size_hw, patches.shape, strict=False))
    return patches[rows][:, columns]
