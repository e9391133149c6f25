"""Opening image files of unknown origin: known formats, regular files, bounded memory, one kind of error."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import IO

from PIL import Image, TiffImagePlugin, UnidentifiedImageError, features

from flsl_mm.utils.fileio import open_regular, printable

from .image_bounds import HEADER_BYTES, LimitedFile, check_bytes, check_structure, decoded_bytes, progressive_bytes

_AVIF = 'avif' in features.modules and features.check('avif')
_HEIF = find_spec('pillow_heif') is not None

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM') + ('AVIF',) * _AVIF + ('HEIF',) * _HEIF
"""What Pillow may take a file for, whatever its name says: for others (EPS) it starts programs."""

EXTENSIONS = (
    *('.jpg', '.jpeg', '.jfif', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm'),
    *('.avif',) * _AVIF,
    *('.heic', '.heif') * _HEIF,
)
"""Endings of the files that count as images, lower case."""

HEIF_ADVICE = 'pip install pillow-heif to read them'

_HEIF_BRANDS = (b'ftyphei', b'ftyphev', b'ftypmif1', b'ftypmsf1')


class ImageError(ValueError):
    """An image file that cannot be used.

    Args:
        reason: Why, one line without the path.
        path: Path of the file, where there is one.

    Attributes:
        reason: As given.
    """

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        """Say which file, and why."""
        return f'{self.path} cannot be read: {self.reason}' if self.path else self.reason


@contextmanager
def open_image(path: str | bytes | os.PathLike | IO[bytes], reduces_jpeg: bool = False) -> Iterator[Image.Image]:
    """Open an image file; what is done to the image inside the ``with`` block fails with :class:`ImageError` alone.

    Nothing is decoded yet. Only the work on this image belongs into the block: any error there is taken for the file's.

    Args:
        path: Path of the file, or the file itself, which is closed in the end.
        reduces_jpeg: Whether the caller has JPEG files decoded at a reduced size, and calls
            :func:`~flsl_mm.datasets.image_bounds.check_bytes` then.

    Yields:
        The image.

    Raises:
        ImageError: If there is no such file, it is a pipe, device or folder, it is none of :data:`FORMATS`, it would
            take more memory than :data:`~flsl_mm.datasets.image_bounds.MAX_BYTES`, or Pillow cannot decode it.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns of remarks on readable files; of its limit it warns first and raises at twice the size.
            warnings.simplefilter('ignore')
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with _limited(path) as file, _identified(file) as image:
                check_structure(image, file)
                reduced = reduces_jpeg and image.format == 'JPEG'
                # Coefficients are kept at full size whatever size is asked for, and that is known before it is asked.
                check_bytes(image, progressive_bytes(image) if reduced else None)
                file.left = decoded_bytes(image) + HEADER_BYTES
                yield image
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many kinds for damaged files
        raise ImageError(_reason(error), _name(path)) from error


def _limited(path: str | bytes | os.PathLike | IO[bytes]) -> LimitedFile:
    if isinstance(path, io.BytesIO):
        return LimitedFile(path)
    return LimitedFile(open_regular(path).detach())


def _name(path: str | bytes | os.PathLike | IO[bytes]) -> str | None:
    return None if hasattr(path, 'read') else printable(os.fsdecode(path))


def _reason(error: Exception) -> str:
    """Say in one line what went wrong; the error's type is left out where its text says enough."""
    text = ' '.join(str(getattr(error, 'strerror', None) or error).split())
    texts = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)
    plain = isinstance(error, texts) and not isinstance(error, UnicodeError)
    return printable(text if plain and text else f'{type(error).__name__}: {text}')


@cache
def _register_heif() -> None:
    if _HEIF:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)


def _identified(file: IO[bytes]) -> Image.Image:
    _register_heif()
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnidentifiedImageError(_unidentified(file)) from error


def _unidentified(file: IO[bytes]) -> str:
    """Say what a file is that Pillow does not take."""
    file.seek(0)
    head = file.read(12)
    if not _HEIF and head[4:].startswith(_HEIF_BRANDS):
        return f'a HEIC file: {HEIF_ADVICE}'
    if head[:4] in (b'II*\0', b'MM\0*'):
        tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
        file.seek(tags.next)
        tags.load(file)
        samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        if samples > 4:
            return f'a TIFF file of {samples} bands of {bits[0]} bits, and images have 1 or 3 (4 with transparency)'
        return f'a TIFF file of a kind that Pillow does not read: {samples} bands of {bits[0]} bits'
    return f'no image of a kind that is read: {", ".join(FORMATS)}'
