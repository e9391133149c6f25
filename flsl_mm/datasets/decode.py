"""Decode an image file of any kind to a teacher view."""

import os
from contextlib import suppress
from typing import IO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps

from .image_bounds import check_bytes
from .image_file import open_image
from .teacher_view import random_crop_box, resized_crop
from .value_range import is_deep, to_8_bits

_WHITE = (255, 255, 255, 255)


def decode_teacher_view(
    path: str | bytes | os.PathLike | IO[bytes],
    size: int,
    scale: tuple[float, float],
    rng: np.random.Generator,
    min_side: int = 8,
) -> torch.Tensor:
    """Decode an image file and make its teacher view.

    The crop is drawn from the size in the file's header, before the pixels are decoded. A JPEG file is therefore
    decoded at 1/2, 1/4 or 1/8 of its size where the crop still has ``size`` pixels per side then: no detail that the
    view can show is lost. Images are turned upright as their EXIF orientation says.

    Args:
        path: Path of the file, or the file itself.
        size: Side of the view in pixels.
        scale: Range of the crop's area, as a fraction of the image's area.
        rng: Generator of the random numbers.
        min_side: Least side in pixels that an image must have.

    Returns:
        uint8 tensor ``(3, size, size)``.

    Raises:
        ImageError: If the file cannot be used, see :func:`~flsl_mm.datasets.image_file.open_image`, or the image is too
            small or has no defined black and white.
    """
    with open_image(path, reduces_jpeg=True) as image:
        width, height = image.size
        if min(width, height) < min_side:
            raise ValueError(f'image of {width}x{height} pixels, less than {min_side} a side')
        if image.format != 'JPEG':
            # PNG files may have their EXIF block behind the pixels; a damaged file must fail here, not there.
            image.load()
        if is_turned(image):
            width, height = height, width
        box = random_crop_box(width, height, scale, rng)
        _reduce_jpeg(image, min(box[2] - box[0], box[3] - box[1]) / size)
        check_bytes(image)
        image.load()
        with suppress(Exception):  # as in is_turned
            ImageOps.exif_transpose(image, in_place=True)
        upright = to_rgb(image)
    across, down = upright.width / width, upright.height / height
    reduced_box = round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down)
    return resized_crop(upright, reduced_box, size)


def is_turned(image: Image.Image) -> bool:
    """Return whether width and height change places when the image is turned upright."""
    # Pillow raises errors of many kinds here, and a broken EXIF block does not spoil the pixels.
    with suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return False


def image_hw(path: str | os.PathLike) -> tuple[int, int]:
    """Read the height and width of an image file, as it is shown, from its header.

    Raises:
        ImageError: If it cannot be used.
    """
    with open_image(path, reduces_jpeg=True) as image:
        return image.size if is_turned(image) else image.size[::-1]


def read_image(path: str | os.PathLike) -> Image.Image:
    """Decode an image file whole: upright as its EXIF orientation says, RGB as of :func:`to_rgb`.

    Raises:
        ImageError: As :func:`decode_teacher_view`.
    """
    with open_image(path) as image:
        image.load()
        with suppress(Exception):  # as in upright_rgb, which copies
            ImageOps.exif_transpose(image, in_place=True)
        return to_rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn an image upright as its EXIF orientation says and convert it to RGB as :func:`to_rgb` does."""
    image.load()
    with suppress(Exception):  # a broken EXIF block does not spoil the pixels
        image = ImageOps.exif_transpose(image)
    return to_rgb(image)


def _reduce_jpeg(image: Image.Image, largest_factor: float) -> None:
    """Let a JPEG file be decoded at the smallest of its reduced sizes that ``largest_factor`` allows."""
    for factor in (8, 4, 2):
        if image.format == 'JPEG' and factor <= largest_factor:
            image.draft(image.mode, (image.width // factor, image.height // factor))
            return


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB: 16 bits are scaled to 8, transparency is put on white.

    Args:
        image: Image as opened by Pillow; gray, palette, CMYK, YCbCr, with or without transparency, 16-bit.

    Raises:
        ValueError: If the mode has no defined black and white (32-bit integers beyond 16 bits, floats).
    """
    if image.mode == 'RGB' and 'transparency' not in image.info:
        image.load()
        return image
    if is_deep(image):
        return Image.fromarray(to_8_bits(np.asarray(image))).convert('RGB')
    if 'transparency' in image.info or image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La'):
        image = image if image.mode == 'RGBA' else image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, _WHITE), image)
    return image.convert('RGB')
