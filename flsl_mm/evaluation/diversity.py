"""How much of their space features use, and whether they tell patches, images or only places apart (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def effective_rank(features: Tensor) -> float:
    """Exponential of the entropy of the normalized singular values of centered features (Roy and Vetterli, 2007).

    Args:
        features: Features (N, C), N at least 2.

    Returns:
        From 1 (all on a line) to min(N - 1, C); 0 for constant features.
    """
    centered = features.double() - features.double().mean(0)
    # Singular values of (N, C) from the (C, C) Gram matrix: exact enough here and much cheaper for many features.
    spectrum = torch.linalg.eigvalsh(centered.T @ centered).clamp_min(0).sqrt()
    if spectrum.max() <= 1e-6 * max(float(features.double().norm()), 1e-30):
        return 0.0
    share = spectrum / spectrum.sum()
    return float(torch.special.entr(share).sum().exp())


def within_image_cosine(tokens: Tensor) -> float:
    """Mean cosine similarity of two different patches of one image; tokens (B, N, C), result -1..1."""
    tokens = F.normalize(tokens.float(), dim=-1)
    count = tokens.shape[1]
    of_all = tokens.sum(1).square().sum(-1)
    return float(((of_all - tokens.square().sum((1, 2))) / (count * (count - 1))).mean())


def between_image_share(tokens: Tensor) -> float:
    """Share of the variance of tokens (B, N, C) that lies between the means of images, 0..1; NaN for constant tokens.

    1 says that all patches of an image are alike, which is an image-level representation.
    """
    tokens = tokens.double()
    overall = tokens.mean((0, 1))
    between = (tokens.mean(1) - overall).square().sum(-1).mean()
    return float(between / (tokens - overall).square().sum(-1).mean())


def place_share(tokens: Tensor) -> float:
    """Share of the variance of normalized tokens that their place in the image explains, up to 1; NaN if all are alike.

    The variance over places of the mean token of a place, over the total. Means of B images vary by chance, too, by
    1 / B of what place leaves unexplained; this is taken off, so that a share does not depend on B, and is 0 on average
    where place explains nothing.

    Args:
        tokens: Tokens of images of one size (B, N, C), B at least 2.
    """
    tokens = F.normalize(tokens.double(), dim=-1)
    overall = tokens.mean((0, 1))
    of_places = (tokens.mean(0) - overall).square().sum(-1).mean()
    of_all = (tokens - overall).square().sum(-1).mean()
    # Unit vectors that are all alike differ by rounding.
    if len(tokens) == 1 or not of_all > 1e-12:
        return float('nan')
    by_chance = 1 / len(tokens)
    return float((of_places / of_all - by_chance) / (1 - by_chance))
