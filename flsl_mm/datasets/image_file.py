"""Opening image files of unknown origin: known formats, regular files, bounded memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image, UnidentifiedImageError

from flsl_mm.utils.fileio import open_regular

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM')
"""What Pillow may take a file for, whatever its name says: for others (EPS) it starts programs."""

MAX_BYTES = 2**28
"""Memory that decoding an image to RGB may take, in bytes: 67 million pixels of color, 53 of black and white."""


@contextmanager
def open_image(path: str | bytes | os.PathLike | IO[bytes], reduces_jpeg: bool = False) -> Iterator[Image.Image]:
    """Open an image file for what needs its header or its pixels; nothing is decoded yet.

    Args:
        path: Path of the file, or the file itself, which is closed in the end.
        reduces_jpeg: Whether the caller has JPEG files decoded at a reduced size, and calls :func:`check_bytes` then.

    Yields:
        The image.

    Raises:
        UnidentifiedImageError: If it is none of :data:`FORMATS`.
        ValueError: If it is a pipe, device or folder, or would take more than :data:`MAX_BYTES`.
        Exception: Whatever Pillow raises for a file that it cannot read.
    """
    with warnings.catch_warnings():
        # Pillow only warns of remarks on readable files; of its limit it warns first and raises at twice the size.
        warnings.simplefilter('ignore')
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        opened = path if hasattr(path, 'read') else open_regular(path)
        with opened as file, _identified(file) as image:
            reduced = reduces_jpeg and image.format == 'JPEG'
            # Coefficients are kept at full size whatever size is asked for, and that is known before it is asked.
            check_bytes(image, progressive_bytes(image) if reduced else None)
            yield image


def _identified(file: IO[bytes]) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnidentifiedImageError(f'no image of a kind that is read: {", ".join(FORMATS)}') from error


def check_bytes(image: Image.Image, needed: int | None = None) -> None:
    """Raise ValueError if decoding an image that was opened takes more than :data:`MAX_BYTES`; files can be tiny."""
    needed = decoded_bytes(image) if needed is None else needed
    if needed > MAX_BYTES:
        raise ValueError(
            f'image of {image.width}x{image.height} pixels would take {needed >> 20} MB of memory, more than '
            f'{MAX_BYTES >> 20}: make it smaller'
        )


def decoded_bytes(image: Image.Image) -> int:
    """Estimate the memory that decoding an image and converting it to RGB takes, in bytes."""
    own = 1 if image.mode in ('1', 'L', 'P') else 2 if image.mode.startswith('I;16') else 4
    if 'transparency' in image.info or image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La'):
        each = own + 12
    elif image.mode.startswith('I'):
        each = own + 9
    else:
        each = own + 4 * (image.mode != 'RGB')
    return image.width * image.height * each + progressive_bytes(image)


def progressive_bytes(image: Image.Image) -> int:
    """Estimate the coefficients of a progressive JPEG file of its present size, all kept while it is decoded."""
    layers = getattr(image, 'layer', None)
    if not layers or 'progressive' not in image.info:
        return 0
    samples = [across * down for _, across, down, *_ in layers]
    return 2 * image.width * image.height * sum(samples) // max(samples)
