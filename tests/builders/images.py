"""Images for tests: smooth like photographs, colorful, with some fine texture, different for each seed."""

import io

import numpy as np
from PIL import Image


def make_image(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Return an RGB image of the given size."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return Image.fromarray((smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    """Return an image as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=95, **options)
    return buffer.getvalue()


def png(image: Image.Image, **options) -> bytes:
    """Return an image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', **options)
    return buffer.getvalue()
