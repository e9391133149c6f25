"""Bound the memory that an image file takes, from its headers, before it is decoded."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice

from PIL import Image, TiffImagePlugin

MAX_BYTES = 2**28
"""Memory that decoding an image to RGB may take, in bytes: 67 million pixels of color, 53 of black and white."""

HEADER_BYTES = 2**26
"""What is read of a file besides its pixels at most, in bytes: profiles, comments, and whole WebP and AVIF files."""

MAX_SCANS = 50
"""Scans of a JPEG file; programs write 1 or about 10, and each costs a pass over all coefficients."""

_DECODER_BYTES = dict(WEBP=12, AVIF=6, HEIF=6)
"""Memory that decoders take for a pixel besides the image that they fill, in bytes, as measured."""

_JPEG_MARKER = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


class LimitedFile(io.BufferedReader):
    """A file of which a limited number of bytes can be read: lengths in headers may say anything.

    Args:
        raw: The file.

    Attributes:
        left: Number of bytes that may still be read.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.left = HEADER_BYTES

    def read(self, size: int | None = -1) -> bytes:
        """Read as any file does.

        Raises:
            ValueError: If that would be more than :attr:`left`.
        """
        content = super().read(self.left + 1 if size is None or size < 0 else min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f'file with more than {HEADER_BYTES >> 20} MB besides its pixels')
        return content


def check_bytes(image: Image.Image, needed: int | None = None) -> None:
    """Raise ValueError if decoding an image that was opened takes more than :data:`MAX_BYTES`; files can be tiny."""
    needed = decoded_bytes(image) if needed is None else needed
    if needed > MAX_BYTES:
        raise ValueError(
            f'image of {image.width}x{image.height} pixels would take {needed >> 20} MB of memory, more than '
            f'{MAX_BYTES >> 20}: make it smaller'
        )


def check_structure(image: Image.Image, file: LimitedFile) -> None:
    """Raise ValueError if a file's parts cost more than its pixels: tiles larger than the image, scans without end."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and tile_bytes(image) > MAX_BYTES:
        raise ValueError(
            f'TIFF file in tiles of {tile_bytes(image) >> 20} MB, more than {MAX_BYTES >> 20}: write it without tiles'
        )
    if hasattr(image, 'layer'):
        image.info['scans'] = _scans(image, file)
        if image.info['scans'] > MAX_SCANS:
            raise ValueError(f'JPEG file of more than {MAX_SCANS} scans')


def decoded_bytes(image: Image.Image) -> int:
    """Estimate the memory that decoding an image and converting it to RGB takes, in bytes."""
    own = 1 if image.mode in ('1', 'L', 'P') else 2 if image.mode.startswith('I;16') else 4
    if 'transparency' in image.info or image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La'):
        each = own + 12
    elif image.mode in ('I', 'F') or image.mode.startswith('I;16'):
        each = own + 9
    else:
        each = own + 4 * (image.mode != 'RGB')
    each += _DECODER_BYTES.get(image.format, 0)
    return image.width * image.height * each + progressive_bytes(image)


def progressive_bytes(image: Image.Image) -> int:
    """Estimate the coefficients of a JPEG file of several scans at its present size, all kept while it is decoded."""
    layers = getattr(image, 'layer', None)
    if not layers or not ('progressive' in image.info or image.info.get('scans', 1) > 1):
        return 0
    samples = [across * down for _, across, down, *_ in layers]
    return 2 * image.width * image.height * sum(samples) // max(samples)


def tile_bytes(image: TiffImagePlugin.TiffImageFile) -> int:
    """Return the size of a tile or strip of a TIFF file, which is decoded whole, in bytes."""
    tags = image.tag_v2
    width = tags.get(TiffImagePlugin.TILEWIDTH, image.width)
    height = tags.get(TiffImagePlugin.TILELENGTH) or min(
        tags.get(TiffImagePlugin.ROWSPERSTRIP, image.height), image.height
    )
    bits = sum(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    return width * height * max(bits, 8 * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)) // 8


def _scans(image: Image.Image, file: LimitedFile) -> int:
    """Count the scans that the decoder would read, and leave the file where it is."""
    place = file.tell()
    file.seek(0)
    head = io.BufferedReader.read(file, 2**14)
    components = next((head[start + 2] for kind, start in _segments(head) if kind == _START_OF_SCAN), 0)
    scans = 1
    # The decoder stops after a first scan of all components, unless the file is progressive.
    if 'progressive' in image.info or components < len(image.layer):
        file.seek(0)
        scans = count_scans(io.BufferedReader.read(file, HEADER_BYTES))
    file.seek(place)
    return scans


def count_scans(content: bytes) -> int:
    """Count the scans of a JPEG file, no more than are too many."""
    found = (kind for kind, _ in _segments(content) if kind == _START_OF_SCAN)
    return sum(1 for _ in islice(found, MAX_SCANS + 1))


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Walk through a JPEG file: the kind of each segment and where it starts, its length first."""
    place = 2
    while marker := _JPEG_MARKER.search(content, place):
        kind, start = content[marker.start() + 1], marker.end()
        if kind == _END_OF_IMAGE or start + 2 >= len(content):
            return
        yield kind, start
        place = start + int.from_bytes(content[start : start + 2], 'big')
