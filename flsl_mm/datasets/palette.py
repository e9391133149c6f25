"""The colors of DAVIS masks, and palette PNG files of object ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from flsl_mm.utils.fileio import atomic_writer


def davis_palette() -> np.ndarray:
    """Make the 256 colors of PASCAL VOC and DAVIS: bits of the id, interleaved over R, G, B from the highest down.

    Returns:
        RGB (256, 3), uint8; id 0 is black.
    """
    ids = np.arange(256)[:, None]
    channels = np.arange(3)
    colors = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        bit = (ids >> (3 * level + channels)) & 1
        colors |= (bit << (7 - level)).astype(np.uint8)
    return colors


def write_palette_mask(path: Path, ids: np.ndarray) -> None:
    """Write a mask as a palette PNG, atomically; its folder must exist.

    Args:
        path: PNG file.
        ids: Object ids (H, W), uint8.
    """
    image = Image.fromarray(ids)
    image.putpalette(davis_palette().tobytes())
    # Masks are many, and computed again where the power failed.
    with atomic_writer(path, flush=False) as file:
        image.save(file, format='PNG')
