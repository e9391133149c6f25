"""From image files to features, batch by batch; what cannot be read is noted and skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from flsl_mm.datasets.image_file import ImageError
from flsl_mm.datasets.value_range import using_range
from flsl_mm.utils.terminal import progress

from ..features import image_tensor
from .sources import FeatureSource

T = TypeVar('T')

TOKENS_AT_ONCE = 8192
"""Patches that go through a network together."""


def sample(items: Sequence, limit: int | None, seed: int) -> list:
    """Draw at most ``limit`` items without replacement and keep their order; all of them with ``None``."""
    if limit is None or limit >= len(items):
        return list(items)
    drawn = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:limit]
    return [items[index] for index in sorted(drawn.tolist())]


def fitting_hw(image_hw: tuple[int, int], size: int | None, patch_size: int, square: bool = False) -> tuple[int, int]:
    """Choose the height and width to resize an image to: whole patches, the shorter side at most about ``size``.

    Args:
        image_hw: Height and width of the image.
        size: Wanted length of the shorter side in pixels; smaller images, and all with ``None``, keep their size.
        patch_size: Side of a patch in pixels.
        square: Choose the square that is cut out of the middle after resizing.
    """
    shorter = min(image_hw)
    scale = min(1.0, size / shorter) if size else 1.0
    sides = (shorter, shorter) if square else image_hw
    return tuple(max(1, round(side * scale / patch_size)) * patch_size for side in sides)


def fitted(image: str | Path | Tensor, size: int | None, patch_size: int, square: bool = False) -> Tensor:
    """Read an image and resize it as :func:`fitting_hw` says; RGB (3, H, W), 0 to 1."""
    pixels = image if isinstance(image, Tensor) else image_tensor(image)
    target_hw = fitting_hw(pixels.shape[1:], size, patch_size, square)
    if square:
        pixels = TF.center_crop(pixels, [min(pixels.shape[1:])] * 2)
    if tuple(pixels.shape[1:]) != target_hw:
        pixels = TF.resize(pixels, list(target_hw), InterpolationMode.BICUBIC, antialias=True)
    return image_tensor(pixels.clamp(0, 1) if pixels.is_floating_point() else pixels)


def feature_maps(
    source: FeatureSource, images: Sequence[T], read: Callable[[T], Tensor], skipped: MutableMapping[str, str]
) -> Iterator[tuple[int, Tensor]]:
    """Return the features of images, computed together for as many of one size as come in a row.

    Args:
        source: Gives the features.
        images: The images.
        read: Makes one of them RGB (3, H, W), 0 to 1, sides multiples of the patch size.
        skipped: Receives why an image could not be read, by its name.

    Yields:
        Index of an image and its features (h, w, C), on the source's device.
    """
    waiting: list[tuple[int, Tensor]] = []
    for index, image in enumerate(progress(images, f'features of {source.name}', 'image', leave=False)):
        try:
            with using_range(getattr(source, 'value_range', None)):
                pixels = read(image)
        except ImageError as error:
            skipped[str(image)] = error.reason
            continue
        patches = pixels.shape[1] * pixels.shape[2] // source.patch_size**2
        if waiting and (waiting[0][1].shape != pixels.shape or len(waiting) * patches >= TOKENS_AT_ONCE):
            yield from _computed(source, waiting)
            waiting = []
        waiting.append((index, pixels))
    if waiting:
        yield from _computed(source, waiting)


@torch.no_grad()
def _computed(source: FeatureSource, images: list[tuple[int, Tensor]]) -> list[tuple[int, Tensor]]:
    """Compute the features of numbered images of one size."""
    maps = source(torch.stack([pixels for _, pixels in images]))
    return [(index, features) for (index, _), features in zip(images, maps, strict=True)]
