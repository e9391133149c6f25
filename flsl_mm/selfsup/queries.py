"""Queries: which tokens of the student views they are, and their order by image (pure functions)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flsl_mm.models.device import to_device


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
    return to_device((y * w + x).flatten(1), torch.device(device))


def gather_queries(tokens: Tensor, indices: Tensor) -> Tensor:
    """Take tokens (B, N, C) at ``indices`` (B, Q); returns queries (B, Q, C)."""
    return tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def per_image(tokens: Tensor, batch_size: int) -> Tensor:
    """Turn tokens of V views of each image, view by view (V * B, Q, C), into tokens of each image (B, V * Q, C)."""
    return tokens.unflatten(0, (-1, batch_size)).transpose(0, 1).flatten(1, 2)


def queries_per_image(tokens: Sequence[Tensor], indices: Sequence[Tensor], batch_size: int) -> Tensor:
    """Take the queries of all student views.

    Args:
        tokens: For each kind of views, tokens view by view (V * B, N, C).
        indices: For each kind, token indices (V * B, Q).
        batch_size: Number of images B.

    Returns:
        Queries of each image (B, sum of V * Q, C).
    """
    pairs = zip(tokens, indices, strict=True)
    return torch.cat([per_image(gather_queries(of_kind, chosen), batch_size) for of_kind, chosen in pairs], 1)


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


def in_teacher_view(places: Tensor | None, of_queries: Tensor) -> Tensor:
    """Say which queries lie inside the teacher view.

    Args:
        places: x and y of the queries in sides of the teacher view (B, Q, 2), or ``None`` where that does not matter.
        of_queries: Anything of the queries (B, Q, ...), for its size and device.

    Returns:
        (B, Q), bool; all of them if none lies inside, so that means over them are numbers.
    """
    if places is None:
        return torch.ones(of_queries.shape[:2], dtype=torch.bool, device=of_queries.device)
    inside = ((places > 0) & (places < 1)).all(-1)
    return inside | ~inside.any()


def select(chosen: Tensor, *of_queries: Tensor) -> tuple[Tensor, ...]:
    """Take the ``chosen`` (B, Q), bool, of each (B, Q, C), image by image.

    Returns:
        (1, number chosen, C) each. The host waits for the device once, for that number.
    """
    indices = chosen.flatten().nonzero().squeeze(1)
    return tuple(each.flatten(0, 1).index_select(0, indices)[None] for each in of_queries)
