"""The loss terms of FLSL and what is worth watching beside them (pure functions; arXiv 2306.06203, section 4.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .distributed import sum_over_processes

TINY = torch.finfo(torch.float32).tiny


def intra_view_loss(queries: Tensor, modes: Tensor) -> Tensor:
    """First-level clustering: pull a query to the mode of its cluster, ``mean(2 - 2 cos(q, m))``.

    Args:
        queries: Queries (..., C); gradients flow into them.
        modes: Their modes after one intra-view mean-shift step (..., C); gradients flow into them too.

    Returns:
        Scalar in 0..4.
    """
    return 2 - 2 * F.cosine_similarity(queries.float(), modes.float(), dim=-1).mean()


def inter_view_loss(student_logits: Tensor, teacher_probabilities: Tensor) -> Tensor:
    """Second-level clustering: cross-entropy of the student's assignment against the teacher's.

    Args:
        student_logits: Student logits divided by the student's temperature (..., K).
        teacher_probabilities: Assignment of the teacher (..., K), without gradient.

    Returns:
        Scalar, 0 or more, in nats; ``log K`` when both are uniform.
    """
    return -(teacher_probabilities * student_logits.float().log_softmax(-1)).sum(-1).mean()


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy in nats over the last dimension; zero probabilities count zero and give finite gradients."""
    return -(probabilities * probabilities.clamp_min(TINY).log()).sum(-1)


def volume_regularizer(marginal: Tensor) -> Tensor:
    """Volume maximization: ``log K + sum_k p_k log p_k``, the KL divergence of the marginal from uniform.

    Args:
        marginal: Mean assignment over all queries of all processes (K,), sums to one.

    Returns:
        Scalar in 0..log K; 0 when all prototypes are used equally.
    """
    return math.log(marginal.shape[-1]) - entropy(marginal)


def sharpen(teacher_logits: Tensor, temperature: float, center: Tensor | None = None) -> Tensor:
    """Turn teacher logits (..., K) into an assignment ``softmax((logits - center) / temperature)``, in float32."""
    logits = teacher_logits.float()
    if center is not None:
        logits = logits - center
    return (logits / temperature).softmax(-1)


@torch.no_grad()
def sinkhorn(teacher_logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Turn teacher logits into an assignment that uses all prototypes equally (Sinkhorn-Knopp).

    Ours as an option of FLSL, after SwAV (Caron et al., arXiv 2006.09882, section 3.1): it takes the place of the
    volume maximization, and cannot collapse onto few prototypes.

    Args:
        teacher_logits: Logits (..., K).
        temperature: Divides them.
        iterations: Number of times that columns, then rows are scaled to equal sums.

    Returns:
        Assignment (..., K), float32; rows sum to one. Columns are equal over the queries of all processes.
    """
    weights = sharpen(teacher_logits, temperature).flatten(0, -2)
    for _ in range(iterations):
        # A prototype that float32 gives no query at all stays without.
        weights = weights / sum_over_processes(weights.sum(0)).clamp_min(TINY)
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(TINY)
    return weights.view(teacher_logits.shape)


def prototypes_used(teacher_probabilities: Tensor) -> Tensor:
    """Count the prototypes that are the most probable one of at least one query (..., K); returns a float scalar."""
    chosen = teacher_probabilities.flatten(0, -2).argmax(-1)
    used = teacher_probabilities.new_zeros(teacher_probabilities.shape[-1])
    return used.scatter(0, chosen, 1.0).sum()
