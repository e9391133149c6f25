"""One mean-shift step, and where that of the teacher starts (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor

from .queries import token_places


def attention(queries: Tensor, tokens: Tensor, scale: float) -> Tensor:
    """Return ``softmax(scale / sqrt(C) * q z^T)`` (B, Q, N) of float32 queries q (B, Q, C) and tokens z (B, N, C).

    Divided by the root of the width, logits and hence ``scale`` mean the same for backbones of any width.
    """
    return (scale / queries.shape[-1] ** 0.5 * (queries @ tokens.transpose(-2, -1))).softmax(-1)


def mean_shift(
    queries: Tensor, tokens: Tensor, scale: float, stage_attention: Tensor | None = None, mix: float = 1.0
) -> Tensor:
    """Move each query one mean-shift step: ``softmax(scale / sqrt(C) * q z^T) z`` (arXiv 2306.06203, equation 6).

    Computed in float32 also under autocast, because the softmax spans few, close logits.

    Args:
        queries: Queries q (B, Q, C).
        tokens: Tokens z (B, N, C): of the same view (intra-view step) or of the teacher view (inter-view step).
        scale: Multiplies the logits, as of :func:`attention`.
        stage_attention: Optional attention of an earlier stage's model (B, Q, N), rows sum to one.
        mix: Share of this stage's attention in the mixture, 0 to 1; 1 leaves ``stage_attention`` out.

    Returns:
        Modes (B, Q, C), float32.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, tokens = queries.float(), tokens.float()
        weights = attention(queries, tokens, scale)
        if stage_attention is not None:
            weights = mix * weights + (1 - mix) * stage_attention.float()
            weights = weights / weights.sum(-1, keepdim=True)
        return weights @ tokens


@torch.no_grad()
def anchored_queries(tokens: Tensor, places: Tensor, width: float) -> Tensor:
    """Average the teacher's tokens around the places of the student's queries, to start its mean shift from.

    Ours, not the paper's, whose mean shift over the teacher's tokens starts from the student's own query. The target
    then depends on what the student says, and any code that finds itself again in the teacher view satisfies the
    loss (docs/evidence.md); from the teacher's own tokens it does not.

    Args:
        tokens: Tokens of the teacher view, a square grid in raster order (B, N, C).
        places: x and y of the queries in sides of the teacher view (B, Q, 2), as of :func:`token_places`.
        width: Standard deviation of the Gaussian weights, in sides of the teacher view.

    Returns:
        Queries (B, Q, C), float32.
    """
    with torch.autocast(tokens.device.type, enabled=False):
        side = round(tokens.shape[1] ** 0.5)
        whole = places.new_zeros(1, 4)
        whole[:, 2:] = 1.0  # written on the device: for numbers from the host it would be waited for
        distances = torch.cdist(places, token_places(whole, side).expand(len(places), -1, -1))
        return (-(distances**2) / (2 * width**2)).softmax(-1) @ tokens.float()


@torch.no_grad()
def stage_attention(queries: Tensor, tokens: Tensor, scale: float, sharpness: float = 1e4) -> Tensor:
    """Sharpen the attention of an earlier stage's model into a soft mask (multi-stage training of FLSL).

    Args:
        queries: The earlier model's features of the student view at the queries (B, Q, C).
        tokens: Its features of the teacher view (B, N, C).
        scale: Multiplies the logits, as of :func:`attention`.
        sharpness: Slope of the sigmoid about each row's mean.

    Returns:
        Attention (B, Q, N), rows sum to one, float32.
    """
    with torch.autocast(queries.device.type, enabled=False):
        weights = attention(queries.float(), tokens.float(), scale)
        mask = (sharpness * (weights - weights.mean(-1, keepdim=True))).sigmoid()
        return mask / mask.sum(-1, keepdim=True)
