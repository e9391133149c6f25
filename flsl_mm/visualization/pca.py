"""PCA of patch features as colors (pure functions)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class ColorBasis(NamedTuple):
    """Three directions of feature space, and the range of each that colors span.

    Attributes:
        mean: Mean of the unit-length features (C,).
        directions: Orthogonal unit vectors (3, C), by falling variance.
        low: Coordinates along them that get no red, green and blue (3,).
        high: Those that get full red, green and blue (3,).
    """

    mean: Tensor
    directions: Tensor
    low: Tensor
    high: Tensor


def color_basis(features: Tensor, share: float = 0.98) -> ColorBasis:
    """Find the directions of greatest variance of features, scaled to unit length (PCA).

    Args:
        features: Patch features (..., C) of one image or of many, C at least 3.
        share: Share of the patches that a color's range covers; outliers beyond it are cut off.

    Returns:
        The basis. The sign of a direction, arbitrary in a PCA, is the one that makes its largest component positive.

    Raises:
        ValueError: If C is below 3.
    """
    if features.shape[-1] < 3:
        raise ValueError(f'colors need features of 3 channels at least, got {features.shape[-1]}')
    tokens = F.normalize(features.reshape(-1, features.shape[-1]).float(), dim=-1)
    mean = tokens.mean(0)
    centered = tokens - mean
    # Ascending eigenvalues.
    directions = torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -3:].flip(1).T
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign()
    coordinates = centered @ directions.T
    cut = (1 - share) / 2
    ordered = coordinates.sort(0).values
    first = int(cut * (len(ordered) - 1))
    return ColorBasis(mean, directions, ordered[first], ordered[len(ordered) - 1 - first])


def pca_rgb(features: Tensor, basis: ColorBasis | None = None) -> Tensor:
    """Color each patch by the three directions of greatest variance: alike features, alike colors.

    Args:
        features: Patch features (..., C).
        basis: As of :func:`color_basis`, so that colors of several images compare; by default that of these features.

    Returns:
        Red, green and blue (..., 3), 0 to 1, float32; 0.5 in a direction in which the basis saw no variance.
    """
    basis = color_basis(features) if basis is None else basis
    tokens = F.normalize(features.float(), dim=-1)
    coordinates = (tokens - basis.mean.to(tokens)) @ basis.directions.to(tokens).T
    low, high = basis.low.to(tokens), basis.high.to(tokens)
    span = high - low
    flat = span < 1e-6  # rounding, of unit vectors
    return ((coordinates - low) / span.masked_fill(flat, 1)).clamp(0, 1).masked_fill(flat, 0.5)
