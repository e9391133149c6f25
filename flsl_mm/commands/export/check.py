"""Compare an exported model with the original: greatest difference of features."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.models.spec import BackboneSpec

TOLERANCE = 1e-5
"""Most difference of a feature, in units of the greatest feature of the images."""


class ExportError(ValueError):
    """A model that cannot be exported, or whose export gives other features; the message is one line."""


@dataclass(frozen=True)
class Difference:
    """How far the features of two models are apart on the same images.

    Attributes:
        size_hw: Height and width of the images in pixels.
        greatest: Greatest difference, in units of the greatest feature.
        cosine: Mean cosine similarity of the features of a patch.
    """

    size_hw: tuple[int, int]
    greatest: float
    cosine: float

    def __str__(self) -> str:
        return f'{self.size_hw[0]}x{self.size_hw[1]}: {self.greatest:.1e}'


def recorded_hw(spec: BackboneSpec) -> tuple[int, int]:
    """Return the image size on whose grid the position table lies, in pixels."""
    return (spec.img_size, spec.img_size)


def other_hw(spec: BackboneSpec, whole_patches: bool = False) -> tuple[int, int]:
    """Return an image size of another grid than the recorded one: taller, narrower, and not of whole patches.

    Args:
        spec: The backbone.
        whole_patches: Whether both sides shall be multiples of the patch size after all.
    """
    rows, cols = spec.grid_hw
    height, width = (rows + rows // 2 + 1) * spec.patch_size, max(2, cols - cols // 4) * spec.patch_size
    return (height, width) if whole_patches else (height - spec.patch_size // 2, width)


@torch.no_grad()
def compare(
    model: FeatureExtractor, exported: Callable[[Tensor], Tensor], size_hw: tuple[int, int], batch: int = 2
) -> Difference:
    """Compare an exported model with the original on random images.

    Args:
        model: The original, on the CPU.
        exported: Gives features (B, h, w, C) of images (B, 3, H, W), RGB 0 to 1.
        size_hw: Height and width of the images in pixels.
        batch: Number of images.

    Raises:
        ExportError: If the exported model gives features of another shape.
    """
    images = torch.rand(batch, 3, *size_hw, generator=torch.Generator().manual_seed(sum(size_hw)))
    expected, given = model(images), exported(images)
    if given.shape != expected.shape:
        raise ExportError(f'the exported model gives features {tuple(given.shape)}, not {tuple(expected.shape)}')
    greatest = float((given - expected).abs().max() / expected.abs().max())
    return Difference(size_hw, greatest, float(torch.cosine_similarity(given, expected, dim=-1).mean()))


def check(difference: Difference) -> None:
    """Raise ExportError if features differ by more than :data:`TOLERANCE`."""
    if not difference.greatest <= TOLERANCE:  # NaN too
        raise ExportError(
            f'the exported model gives other features, by {difference.greatest:.1e} of the greatest at '
            f'{difference.size_hw[0]}x{difference.size_hw[1]} pixels (at most {TOLERANCE:.0e})'
        )


@contextmanager
def silenced() -> Iterator[None]:
    """Keep remarks of exporters, and on files that are read again, off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
