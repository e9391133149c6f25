"""What patch features know about objects, without training anything (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def patch_owners(instance_maps: Tensor, patch_size: int, min_share: float = 0.5) -> Tensor:
    """Say which object each patch shows.

    Args:
        instance_maps: Instance ids (B, H, W), 0 for background, H and W multiples of the patch size.
        patch_size: Side of a patch in pixels.
        min_share: Smallest share of a patch's pixels that one object, or the background, must cover.

    Returns:
        Instance id of each patch (B, h * w), 0 for background, -1 where nothing covers ``min_share``.
    """
    batch, height, width = instance_maps.shape
    h, w = height // patch_size, width // patch_size
    pixels = instance_maps.reshape(batch, h, patch_size, w, patch_size).transpose(2, 3).reshape(batch, h * w, -1)
    owner = pixels.mode(-1).values
    share = (pixels == owner.unsqueeze(-1)).float().mean(-1)
    return owner.masked_fill(share < min_share, -1)


def same_object_auc(features: Tensor, owners: Tensor) -> float:
    """Area under the ROC curve of telling patch pairs of one object from pairs of two by cosine similarity.

    Args:
        features: Patch features (B, N, C).
        owners: Instance ids (B, N) as of :func:`patch_owners`; pairs of object patches within one picture count.

    Returns:
        AUC in 0..1, 0.5 by chance; NaN when there are no pairs of one kind.
    """
    features = F.normalize(features.float(), dim=-1)
    positive, negative = [], []
    for tokens, ids in zip(features, owners, strict=True):
        tokens, ids = tokens[ids > 0], ids[ids > 0]
        upper = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
        similarity, same = (tokens @ tokens.T)[upper], (ids[:, None] == ids[None])[upper]
        positive.append(similarity[same])
        negative.append(similarity[~same])
    positive, negative = torch.cat(positive), torch.cat(negative)
    if not len(positive) or not len(negative):
        return float('nan')
    # Mann-Whitney: the share of (positive, negative) pairs in the right order, ties counting half.
    ordered = negative.sort().values
    below = torch.searchsorted(ordered, positive)
    not_above = torch.searchsorted(ordered, positive, right=True)
    return float((below + not_above).double().mean() / (2 * len(negative)))


def knn_accuracy(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor, k: int = 20
) -> float:
    """Classify by the majority of the k nearest features in cosine similarity; ties go to the more similar class.

    Args:
        train_features: Features with known class (N, C).
        train_labels: Their classes (N,), 0 or more.
        test_features: Features to classify (M, C).
        test_labels: Their classes (M,).
        k: Number of neighbours, N at most.

    Returns:
        Share of correct answers in 0..1.
    """
    similarity = F.normalize(test_features.float(), dim=-1) @ F.normalize(train_features.float(), dim=-1).T
    nearest, index = similarity.topk(min(k, len(train_features)), dim=-1)
    votes = torch.zeros(len(test_features), int(train_labels.max()) + 1)
    # A vote is 1 plus a fraction of a vote that grows with similarity: it only breaks ties.
    votes.scatter_add_(1, train_labels[index], 1 + (nearest + 1) / (4 * k))
    return float((votes.argmax(-1) == test_labels).double().mean())


def chance_accuracy(train_labels: Tensor, test_labels: Tensor) -> float:
    """Give the accuracy of always answering the most frequent class."""
    return float((test_labels == train_labels.mode().values).double().mean())


def mean_shift_clusters(features: Tensor, scale: float, steps: int = 10, merge: float = 0.9) -> Tensor:
    """Group the patches of one picture by where repeated mean-shift steps take them.

    Args:
        features: Patch features (N, C).
        scale: Multiplies the cosine similarities in the mean-shift step.
        steps: Number of steps.
        merge: Modes whose cosine similarity exceeds this are one cluster.

    Returns:
        Cluster ids (N,), 0 for the largest, falling by size.
    """
    tokens = F.normalize(features.float(), dim=-1)
    modes = tokens
    for _ in range(steps):
        modes = F.normalize((scale * modes @ tokens.T).softmax(-1) @ tokens, dim=-1)
    near = modes @ modes.T > merge
    labels = torch.full((len(tokens),), -1)
    for seed in near.sum(-1).argsort(descending=True).tolist():
        members = near[seed] & (labels < 0)
        if labels[seed] < 0:
            labels[members] = int(labels.max()) + 1
    sizes = labels.bincount()
    rank = torch.empty_like(sizes)
    rank[sizes.argsort(descending=True)] = torch.arange(len(sizes))
    return rank[labels]
