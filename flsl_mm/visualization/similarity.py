"""Cosine similarity between the patches of an image (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def similarity_map(features: Tensor, point: tuple[int, int]) -> Tensor:
    """Return the cosine similarity of every patch to one of them.

    Args:
        features: Patch features (h, w, C).
        point: Row and column of the patch.

    Returns:
        Similarities (h, w), -1 to 1, float32; 1 at the patch itself.

    Raises:
        ValueError: If the point lies outside the grid.
    """
    h, w, _ = features.shape
    row, column = point
    if not (0 <= row < h and 0 <= column < w):
        raise ValueError(f'patch {row}, {column} (row, column) is outside the grid of {h}x{w} patches')
    tokens = F.normalize(features.float(), dim=-1)
    return (tokens @ tokens[row, column]).clamp(-1, 1)


def aggregated_similarity(features: Tensor) -> Tensor:
    """Return the mean cosine similarity of every patch to all patches of its image.

    The aggregated similarity map of FLSL (arXiv 2306.06203, visualizations): the larger the part of the image that a
    patch is like, the brighter it is, so that a map in which clusters have formed falls into flat regions.

    Args:
        features: Patch features (h, w, C) of any layer.

    Returns:
        Mean similarities (h, w), -1 to 1, float32.
    """
    tokens = F.normalize(features.float(), dim=-1)
    # The mean of the products with all is the product with the mean of all.
    return (tokens @ tokens.mean((0, 1))).clamp(-1, 1)


def cluster_centers(features: Tensor, labels: Tensor) -> list[tuple[int, int]]:
    """Find the patch that stands for each cluster: the one most like the cluster's mean direction.

    Args:
        features: Patch features (h, w, C).
        labels: Cluster ids (h, w), 0 to K - 1, each on at least one patch.

    Returns:
        Row and column of one patch per cluster, in the order of the ids.
    """
    tokens = F.normalize(features.float(), dim=-1).flatten(0, 1)
    labels = labels.flatten()
    centers = []
    for number in range(int(labels.max()) + 1):
        likeness = tokens @ tokens[labels == number].mean(0)
        best = int(likeness.masked_fill(labels != number, -torch.inf).argmax())
        centers.append(divmod(best, features.shape[1]))
    return centers
