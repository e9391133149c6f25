"""Count images that are smaller than the views made of them."""

from __future__ import annotations

import numpy as np
from torch.utils.data import Dataset

from .image_file import ImageError, open_image

MOST = 256
"""Images of which the size is read."""

SHARE = 0.1
"""Share of images from which it is worth a warning."""


def small_images(dataset: Dataset, size: int, most: int = MOST) -> tuple[int, int]:
    """Count images with a side of fewer than ``size`` pixels, reading headers only.

    Args:
        dataset: :class:`~flsl_mm.datasets.FLSLImages` or a data set with its ``open`` and length.
        size: Side of the view in pixels.
        most: Images that are looked at, at equal distances.

    Returns:
        Number of smaller ones, and of those that could be read.
    """
    sides = []
    for index in np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int).tolist():
        try:
            with open_image(dataset.open(index)) as image:
                sides.append(min(image.size))
        except ImageError:  # the run skips such files and lists them
            continue
    return sum(side < size for side in sides), len(sides)


def small_images_line(dataset: Dataset) -> str | None:
    """Say how many images are enlarged to the size of the loader; None where few are, or the data set has no files."""
    size = getattr(dataset, 'size', None)
    if not (isinstance(size, int) and hasattr(dataset, 'open')):
        return None
    small, count = small_images(dataset, size)
    if small < max(SHARE * count, 1):
        return None
    looked = f'{small} of {count} images' + (f' (looked at, of {len(dataset):,})' if count < len(dataset) else '')
    return f'{looked} have fewer than {size} pixels on a side and are enlarged to views of {size}'
