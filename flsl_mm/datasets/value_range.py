"""Map images of more than 8 bits to 8: find, or take, the values that are black and white."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import IO

import numpy as np
from PIL import Image

from flsl_mm.utils.mm import print_log

from .image_file import ImageError, open_image

ValueRange = tuple[float, float]

FULL_RANGE = (0, 65535)
"""Black and white of 16-bit images that use all of their bits."""

SAMPLE = 32
"""Files in which a range is looked for."""

TAIL = 1e-4
"""Share of the values at either end that a range leaves out: dead and hot pixels."""

_PIXELS = 2**16
_DEEP_ENDINGS = ('.png', '.tif', '.tiff', '.pgm', '.ppm')
_OPTION = 'train_dataloader.dataset.value_range'
_in_use: ContextVar[ValueRange | None] = ContextVar('value_range', default=None)


def checked_range(value_range: Sequence[float]) -> ValueRange:
    """Return (black, white) as numbers.

    Raises:
        ValueError: If it is not two finite numbers, the first the smaller one.
    """
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (low < high and np.isfinite([low, high]).all()):
        raise ValueError(f'value_range is (black, white), two numbers, the first the smaller one, got {value_range!r}')
    return low, high


@contextmanager
def using_range(value_range: ValueRange | None) -> Iterator[None]:
    """Have images of more than 8 bits read with this range inside the block; None is that of 16 bits."""
    token = _in_use.set(value_range)
    try:
        yield
    finally:
        _in_use.reset(token)


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has gray values of more than 8 bits."""
    return image.mode == 'F' or image.mode.startswith('I')


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale gray values (H, W) to uint8 by the range in use; what is beyond it becomes black or white, NaN black.

    Raises:
        ValueError: If no range is in use and the values are not those of 16 bits without sign.
    """
    value_range = _in_use.get()
    if value_range is None:
        if values.dtype.kind == 'f':
            raise ValueError(f'image of floating-point pixels: set value_range=(black, white), {_OPTION} in training')
        if values.min() < 0 or values.max() > FULL_RANGE[1]:
            raise ValueError(
                f'image of values {values.min()} to {values.max()}, and 16 bits without sign have 0 to 65535: set '
                f'value_range=(black, white), {_OPTION} in training'
            )
        values = values.astype(np.int32)
        # Division by 257, rounded, in place: 257 is odd, so nothing lies half way.
        values += 128
        values //= 257
        return values.astype(np.uint8)
    low, high = value_range
    values = values.astype(np.float32)
    values -= low
    values *= 255 / (high - low)
    return np.nan_to_num(values.clip(0, 255, out=values), copy=False, nan=0).round(out=values).astype(np.uint8)


def find_value_range(names: Sequence[str], open_file: Callable[[int], str | IO[bytes]]) -> ValueRange | None:
    """Find black and white of images of more than 8 bits in a sample of files, and log it.

    Args:
        names: Names of all files; those that cannot have more than 8 bits are not opened.
        open_file: Returns the file of a number, or its path.

    Returns:
        The range; None where there are no such images, or they use at least half of 16 bits.
    """
    step = max(len(names) // SAMPLE, 1)
    numbers = [number for number in range(0, len(names), step) if names[number].lower().endswith(_DEEP_ENDINGS)]
    samples, greatest_colors = [], []
    for number in numbers[:SAMPLE]:
        with suppress(ImageError), open_image(open_file(number)) as image:
            if is_deep(image):
                values = np.asarray(image).ravel()
                samples.append(values[:: max(values.size // _PIXELS, 1)].astype(np.float64))
            elif image.mode == 'RGB' and '16' in str(image.tile[0].args):
                greatest_colors.append(max(high for _, high in image.getextrema()))
    _warn_of_dark_colors(greatest_colors)
    values = np.concatenate(samples) if samples else np.zeros(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = np.floor(np.quantile(values, TAIL)), np.ceil(np.quantile(values, 1 - TAIL))
    if (low >= 0 and high <= FULL_RANGE[1] and high - low >= FULL_RANGE[1] / 2) or low == high:
        return None
    print_log(
        f'images of more than 8 bits: values {low:.10g} to {high:.10g} become black to white, found in {len(samples)} '
        f'files; set {_OPTION}=({low:.10g},{high:.10g}) to keep this, or another range',
        'current',
        logging.WARNING,
    )
    return float(low), float(high)


def _warn_of_dark_colors(greatest: list[int]) -> None:
    """Warn of 16-bit color images of which Pillow keeps the upper 8 bits."""
    if greatest and max(greatest) < 128:
        print_log(
            f'16-bit color images use {max(greatest) + 1} of 256 brightness levels, since only the upper 8 bits are '
            'read: convert them to 8 bits',
            'current',
            logging.WARNING,
        )
