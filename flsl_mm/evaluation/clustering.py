"""Unsupervised segmentation: K-means clusters matched to classes (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor


def kmeans(
    features: Tensor, num_clusters: int, iterations: int = 50, seed: int = 0, chunk: int = 16384
) -> tuple[Tensor, Tensor]:
    """Cluster features by K-means, with seeds drawn far from each other (k-means++).

    Args:
        features: Features (N, C).
        num_clusters: Number of clusters, at most N.
        iterations: Most iterations; it ends earlier where no feature changes its cluster.
        seed: Seed of the draws.
        chunk: Number of features compared at once.

    Returns:
        Centers (num_clusters, C), and the cluster of each feature (N,). A cluster that lost all features keeps its
        center.

    Raises:
        ValueError: If there are fewer features than clusters.
    """
    if len(features) < num_clusters:
        raise ValueError(f'{len(features)} features do not make {num_clusters} clusters')
    features = features.float()
    centers = _kmeans_plus_plus(features, num_clusters, torch.Generator().manual_seed(seed))
    clusters = nearest_center(features, centers, chunk)
    for _ in range(iterations):
        sizes = torch.bincount(clusters, minlength=num_clusters)
        sums = torch.zeros_like(centers).index_add_(0, clusters, features)
        centers = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], centers)
        before, clusters = clusters, nearest_center(features, centers, chunk)
        if torch.equal(before, clusters):
            break
    return centers, clusters


def nearest_center(features: Tensor, centers: Tensor, chunk: int = 16384) -> Tensor:
    """Return the cluster (N,) of features (N, C): the nearest of the centers (K, C)."""
    # |x - c|^2 without |x|^2, which is the same for every center.
    half_squares = centers.square().sum(-1) / 2
    return torch.cat([(part.float() @ centers.T - half_squares).argmax(-1) for part in features.split(chunk)])


def _kmeans_plus_plus(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw features with a chance in proportion to their squared distance from those drawn before."""
    first = int(torch.randint(len(features), (1,), generator=generator))
    chosen = [first]
    distance = (features - features[first]).square().sum(-1)
    for _ in range(count - 1):
        weights = distance.cpu().double()
        weights = weights if weights.sum() > 0 else torch.ones_like(weights)
        # Inverse of the cumulative sum: torch.multinomial takes no more than 2**24 weights.
        place = torch.rand(1, generator=generator, dtype=torch.double) * weights.sum()
        drawn = int(torch.searchsorted(weights.cumsum(0), place).clamp_max(len(features) - 1))
        chosen.append(drawn)
        distance = torch.minimum(distance, (features - features[drawn]).square().sum(-1))
    return features[chosen].clone()


def contingency(clusters: Tensor, labels: Tensor, num_clusters: int, num_classes: int) -> Tensor:
    """Count the patches of each cluster and class (num_clusters, num_classes), but for labels that are not classes."""
    counted = (labels >= 0) & (labels < num_classes)
    pairs = clusters[counted] * num_classes + labels[counted]
    return torch.bincount(pairs, minlength=num_clusters * num_classes).view(num_clusters, num_classes)


def match_one_to_one(counts: Tensor) -> Tensor:
    """Name as many clusters as there are classes so that the sum of IoUs is greatest (Hungarian matching).

    Args:
        counts: As of :func:`contingency` (K, classes).

    Returns:
        Class of each cluster (K,), -1 for those that are left over.

    Raises:
        ValueError: If scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ModuleNotFoundError:
        raise ValueError('matching clusters to classes needs scipy: pip install scipy') from None
    counts = counts.double().cpu()
    union = counts.sum(1, keepdim=True) + counts.sum(0, keepdim=True) - counts
    clusters, classes = linear_sum_assignment((counts / union.clamp_min(1)).numpy(), maximize=True)
    names = torch.full((len(counts),), -1, dtype=torch.long)
    names[torch.from_numpy(clusters)] = torch.from_numpy(classes)
    return names


def match_many_to_one(counts: Tensor) -> Tensor:
    """Name each cluster by the class that most of its patches have (overclustering); (K,), -1 for an empty one."""
    return counts.argmax(1).cpu().where(counts.sum(1).cpu() > 0, -1)


def named_counts(counts: Tensor, names: Tensor) -> Tensor:
    """Return right predictions, predictions and labels of each class (3, classes) from counts and names of clusters."""
    counts = counts.cpu()
    num_classes = counts.shape[1]
    named = names >= 0
    merged = torch.zeros(num_classes, num_classes, dtype=counts.dtype).index_add_(0, names[named], counts[named])
    return torch.stack([merged.diagonal(), merged.sum(1), counts.sum(0)])
