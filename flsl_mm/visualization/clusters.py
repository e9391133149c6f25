"""Mean-shift clusters of an image's patch features (pure function)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mean_shift_clusters(features: Tensor, scale: float = 20.0, steps: int = 10, merge: float = 0.9) -> Tensor:
    """Group the patches of one image by where repeated mean-shift steps take them.

    Args:
        features: Patch features (..., C), for example (h, w, C).
        scale: Multiplies the cosine similarities in the mean-shift step; the greater, the more clusters.
        steps: Number of steps.
        merge: Modes whose cosine similarity exceeds this are one cluster.

    Returns:
        Cluster ids (...), 0 for the largest, falling by size.
    """
    tokens = F.normalize(features.flatten(0, -2).float(), dim=-1)
    modes = tokens
    for _ in range(steps):
        modes = F.normalize((scale * modes @ tokens.T).softmax(-1) @ tokens, dim=-1)
    near = modes @ modes.T > merge
    labels = torch.full((len(tokens),), -1, device=tokens.device)
    for seed in near.sum(-1).argsort(descending=True).tolist():
        if labels[seed] < 0:
            labels[near[seed] & (labels < 0)] = int(labels.max()) + 1
    sizes = labels.bincount()
    rank = torch.empty_like(sizes)
    rank[sizes.argsort(descending=True)] = torch.arange(len(sizes), device=sizes.device)
    return rank[labels].view(features.shape[:-1])
