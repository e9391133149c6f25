"""Ours: take off the teacher's logits what the image as a whole says of all its queries (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor


def image_mean(logits: Tensor, counted: Tensor) -> Tensor:
    """Average the logits (B, Q, K) of each image's queries where ``counted`` (B, Q, bool) says so; (B, 1, K)."""
    weights = counted[..., None].to(logits.dtype)
    return (logits * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1)


@torch.no_grad()
def center_images(logits: Tensor, counted: Tensor, share: float) -> Tensor:
    """Take off a share of the mean of each image's logits.

    Without it, assignments may name the picture (the color of its background, say), which every patch of it can tell
    and which says nothing about objects (docs/evidence.md).

    Args:
        logits: The teacher's logits (B, Q, K).
        counted: Which queries count in the mean (B, Q), bool.
        share: Share of the mean, 0 to 1; with less than 1, prototypes also tell kinds of images apart.

    Returns:
        Logits (B, Q, K), float32.
    """
    logits = logits.float()
    return logits - share * image_mean(logits, counted)
