"""Query sampling and one mean-shift step (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_queries(
    batch_size: int, grid_hw: tuple[int, int], window: int, member: str = 'random', device: str | torch.device = 'cpu'
) -> Tensor:
    """Draw one token per window: the "random pooling" of FLSL (arXiv 2306.06203, section 4.1).

    Where the grid is not a multiple of the window, the covered block sits in one of the four corners, drawn per image.
    Draws come from torch's default CPU generator.

    Args:
        batch_size: Number of images B.
        grid_hw: Token grid (h, w).
        window: Side of the square window in tokens.
        member: ``'random'`` draws a member of each window (paper), ``'first'`` takes its top-left one (released code).
        device: Where the result is wanted.

    Returns:
        Token indices (B, Q), Q = (h // window) * (w // window), in raster order of the windows.

    Raises:
        ValueError: If the window does not fit the grid or ``member`` is unknown.
    """
    h, w = grid_hw
    if not 1 <= window <= min(h, w):
        raise ValueError(f'sampling window {window} does not fit a token grid of {h}x{w}')
    if member not in ('random', 'first'):
        raise ValueError(f"window member must be 'random' or 'first', got {member!r}")
    rows, cols = h // window, w // window
    if member == 'random':
        inside = torch.randint(window, (2, batch_size, rows, cols))
    else:
        inside = torch.zeros(2, batch_size, rows, cols, dtype=torch.long)
    corner = torch.randint(2, (2, batch_size, 1, 1))
    y = torch.arange(rows).view(1, -1, 1) * window + inside[0] + corner[0] * (h % window)
    x = torch.arange(cols).view(1, 1, -1) * window + inside[1] + corner[1] * (w % window)
    return (y * w + x).flatten(1).to(device, non_blocking=True)


def gather_queries(tokens: Tensor, indices: Tensor) -> Tensor:
    """Take tokens (B, N, C) at ``indices`` (B, Q); returns queries (B, Q, C)."""
    return tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


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


def token_places(boxes: Tensor, side: int) -> Tensor:
    """Return the centers of the tokens of crops, in sides of the teacher view.

    Args:
        boxes: Left, top, width and height of crops as fractions of the teacher view (B, 4).
        side: Number of tokens along a side of the resized crop.

    Returns:
        x and y of the tokens in raster order (B, side * side, 2).
    """
    steps = (torch.arange(side, device=boxes.device) + 0.5) / side
    x = boxes[:, None, 0] + boxes[:, None, 2] * steps
    y = boxes[:, None, 1] + boxes[:, None, 3] * steps
    return torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1).flatten(1, 2)


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
        whole = places.new_tensor([[0.0, 0.0, 1.0, 1.0]])
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
