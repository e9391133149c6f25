"""Reading masks: image files whose pixels are numbers of classes or objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .image_file import open_image


def read_mask(path: Path, gray: bool = False) -> np.ndarray:
    """Read the number of each pixel of a mask.

    Args:
        path: Image file: palette, gray or black and white, 16-bit too.
        gray: Whether an image of colors is read as its gray values instead of refused.

    Returns:
        Numbers (H, W), of an integer type.

    Raises:
        ImageError: If it cannot be read.
        ValueError: If it is an image of colors.
    """
    with open_image(path) as image:
        mode = image.mode
        mask = np.array(image.convert('L') if gray and mode not in ('1', 'L', 'P') else image)
    if mask.ndim != 2 or mode == 'F':
        raise ValueError(f'mask {path} is an image of mode {mode}: masks hold one number per pixel (modes P, L, I)')
    return mask.astype(np.uint8) if mask.dtype == bool else mask
