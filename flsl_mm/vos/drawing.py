"""Pictures of videos with their masks: one frame, a strip of frames, an animation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from flsl_mm.datasets.palette import davis_palette
from flsl_mm.utils.fileio import atomic_writer

from .measures import mask_boundary
from .propagator import resize_nearest

STRIP_FRAMES, STRIP_WIDTH = 6, 320
GIF_WIDTH, GIF_FRAME_MS = 416, 80


def paint_objects(frame: np.ndarray, ids: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Lay the colors of a mask's objects over a frame, with their contours in white.

    Args:
        frame: RGB (H, W, 3), uint8.
        ids: Object ids (H0, W0), uint8.
        opacity: Share of the color, 0 to 1.

    Returns:
        RGB (H, W, 3), uint8.
    """
    ids = resize_nearest(ids, frame.shape[:2])
    painted = frame.copy()
    inside = ids > 0
    painted[inside] = ((1 - opacity) * frame[inside] + opacity * davis_palette()[ids[inside]]).astype(np.uint8)
    contour = np.logical_or.reduce([mask_boundary(ids == number) for number in np.unique(ids)])
    painted[contour] = 255
    return painted


def _shrink(image: np.ndarray, width: int) -> Image.Image:
    height = round(image.shape[0] * width / image.shape[1])
    return Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)


def write_strip(path: Path, frames: np.ndarray, predictions: np.ndarray) -> None:
    """Write a few frames of a video, evenly spaced, with their masks side by side.

    Args:
        path: PNG file.
        frames: RGB (T, H, W, 3), uint8.
        predictions: Object ids (T, H0, W0), uint8.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, STRIP_FRAMES).round().astype(int))
    images = [_shrink(paint_objects(frames[i], predictions[i]), STRIP_WIDTH) for i in chosen]
    strip = Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))
    with atomic_writer(path) as file:
        strip.save(file, format='PNG')


def write_gif(path: Path, frames: Iterable[np.ndarray], predictions: Iterable[np.ndarray]) -> None:
    """Write a whole video with its masks as an animation; elements as in :func:`write_strip`, from any iterables."""
    pairs = zip(frames, predictions, strict=True)
    images = (_shrink(paint_objects(frame, ids), min(GIF_WIDTH, frame.shape[1])) for frame, ids in pairs)
    first = next(images)
    with atomic_writer(path) as file:
        first.save(file, format='GIF', save_all=True, append_images=images, duration=GIF_FRAME_MS, loop=0)
