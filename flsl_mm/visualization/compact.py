"""Patch features made small enough to lie inside a page, for the similarities of patches (pure function)."""

from __future__ import annotations

import base64
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLED = 512
"""Patches whose similarities to all others tell how far the compact ones are off."""


class CompactFeatures(NamedTuple):
    """Features whose products come close to the cosine similarities of patches.

    Attributes:
        grid_hw: Rows and columns of patches.
        values: Numbers of each patch (h * w, D), int8.
        scale: What a product of two patches' numbers is multiplied with.
        error: Root mean square of the difference from the cosine similarity.
    """

    grid_hw: tuple[int, int]
    values: Tensor
    scale: float
    error: float

    @property
    def base64(self) -> str:
        """The numbers as text."""
        return base64.b64encode(self.values.numpy().tobytes()).decode()


def compact_features(features: Tensor, width: int = 32) -> CompactFeatures:
    """Reduce features to the directions that keep most of their products, and these to 8 bits.

    Args:
        features: Patch features (h, w, C).
        width: Directions D that are kept at most.
    """
    h, w, channels = features.shape
    tokens = F.normalize(features.reshape(h * w, channels).float().cpu(), dim=-1)
    # Not centered: it is products that are to be kept, not distances from the mean.
    directions = torch.linalg.eigh(tokens.T @ tokens).eigenvectors[:, -width:]
    reduced = tokens @ directions
    step = max(float(reduced.abs().max()), 1e-12) / 127
    values = (reduced / step).round().to(torch.int8)
    sampled = torch.linspace(0, h * w - 1, min(SAMPLED, h * w)).long()
    products = step**2 * (values[sampled].float() @ values.float().T)
    error = float((products - tokens[sampled] @ tokens.T).square().mean().sqrt())
    return CompactFeatures((h, w), values, step**2, error)
