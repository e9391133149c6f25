"""Weighted k-nearest-neighbor classification by cosine similarity (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def knn_scores(
    train_features: Tensor,
    train_labels: Tensor,
    features: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 2048,
) -> Tensor:
    """Score classes by the votes of the k nearest training features, weighted ``exp(cosine / temperature)``.

    The weighting is that of Wu et al. (CVPR 2018) and DINO.

    Args:
        train_features: Features with known class (N, C).
        train_labels: Their classes (N,), 0 to ``num_classes`` - 1.
        features: Features to classify (M, C).
        num_classes: Number of classes.
        k: Number of neighbors; all training features where there are fewer.
        temperature: Smaller values give the nearest neighbors more weight.
        chunk: Number of features compared at once.

    Returns:
        Scores (M, num_classes), rows sum to one.
    """
    bank = F.normalize(train_features.float(), dim=-1)
    scores = []
    for part in F.normalize(features.float(), dim=-1).split(chunk):
        similarity, nearest = (part @ bank.T).topk(min(k, len(bank)), dim=-1)
        weight = (similarity / temperature).softmax(-1)
        scores.append(weight.new_zeros(len(part), num_classes).scatter_add_(1, train_labels[nearest], weight))
    return torch.cat(scores)


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Return the share of predictions (M,) that equal the labels (M,), in 0..1."""
    return float((predictions == labels).double().mean())


def chance_accuracy(train_labels: Tensor, labels: Tensor) -> float:
    """Return the accuracy of always answering the most frequent training class."""
    return accuracy(train_labels.mode().values.expand_as(labels), labels)
