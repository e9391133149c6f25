"""Images for tests: smooth like photographs, colorful, with some fine texture, different for each seed."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def make_image(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Return an RGB image of the given size."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return Image.fromarray((smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = 'PNG', **options) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(image: Image.Image, **options) -> bytes:
    """Return an image as a JPEG file."""
    return encoded(image, 'JPEG', quality=95, **options)


png = encoded


def write_jpegs(folder: Path, number: int = 10) -> Path:
    """Write small images, different in content and width, into the folders class0 to class2."""
    for index in range(number):
        path = folder / f'class{index % 3}' / f'{index}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(make_image(60 + index, 50, index)))
    return folder
