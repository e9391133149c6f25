"""The colours of DAVIS masks, and palette PNG files of object ids."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image


def davis_palette() -> np.ndarray:
    """Make the 256 colours of PASCAL VOC and DAVIS: bits of the id, interleaved over R, G, B from the highest down.

    Returns:
        RGB (256, 3), uint8; id 0 is black.
    """
    ids = np.arange(256)[:, None]
    channels = np.arange(3)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        bit = (ids >> (3 * level + channels)) & 1
        colours |= (bit << (7 - level)).astype(np.uint8)
    return colours


def write_palette_mask(path: Path, ids: np.ndarray) -> None:
    """Write a mask as a palette PNG, whole or not at all; its folder must exist.

    Args:
        path: PNG file.
        ids: Object ids (H, W), uint8.
    """
    image = Image.fromarray(ids)
    image.putpalette(davis_palette().tobytes())
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    image.save(temporary, format='PNG')
    os.replace(temporary, path)
