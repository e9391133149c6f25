"""Position jitter: while training, a view takes its positions from a window of the sine-cosine plane (ours)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .pos_embed import WAVELENGTH_BASE


@dataclass(frozen=True)
class PositionJitter:
    """From where, and how large, windows of the plane are drawn, in patches.

    The sine-cosine code is a formula: every place of the plane has one. With windows drawn for each image and view by
    itself, a patch's place in the view no longer tells what the other view has there, and place alone does not satisfy
    the loss (docs/evidence.md). The middle of the windows is the fixed table, which is used without jitter.

    Args:
        range: Side in patches of the square in which windows begin; in its middle the fixed table does.
        zoom: Distance between neighboring patches at most, and its inverse at least, 1 or more; drawn log-uniformly.

    Raises:
        ValueError: If a value is not possible.
    """

    range: float = 24.0
    zoom: float = 1.5

    def __post_init__(self) -> None:
        if not (0 <= self.range < math.inf and 1 <= self.zoom < math.inf):
            raise ValueError(f'position_jitter: range must be 0 or more and zoom 1 or more, got {self}')

    def draw(self, batch_size: int) -> Tensor:
        """Draw windows with torch's default CPU generator.

        Returns:
            y and x of the first patch, in patches from that of the fixed table, and the distance between neighbors
            (B, 3), on the CPU.
        """
        drawn = torch.rand(batch_size, 3)
        begin = (drawn[:, :2] - 0.5) * self.range
        return torch.cat([begin, self.zoom ** (2 * drawn[:, 2:] - 1)], 1)


def window_pos_embed(windows: Tensor, embed_dim: int, grid_hw: tuple[int, int]) -> Tensor:
    """Build the sine-cosine table of each window, in the channel order of :func:`~.pos_embed.sincos_pos_embed`.

    Args:
        windows: As of :meth:`PositionJitter.draw` (B, 3).
        embed_dim: Width C, a multiple of 4.
        grid_hw: Grid (h, w) of the view, in patches.

    Returns:
        Tables (B, h * w, C), float32. That of the window (0, 0, 1) is the fixed table.
    """
    quarter = torch.arange(embed_dim // 4, device=windows.device) / (embed_dim // 4)
    omega = WAVELENGTH_BASE**-quarter
    codes = []
    for begin, size in zip(windows[:, :2].unbind(1), grid_hw, strict=True):
        places = begin[:, None] + windows[:, 2:] * torch.arange(size, device=windows.device)
        angles = places[..., None] * omega
        codes.append(torch.cat([angles.sin(), angles.cos()], -1))
    down, across = codes
    h, w = grid_hw
    of_x, of_y = across[:, None].expand(-1, h, -1, -1), down[:, :, None].expand(-1, -1, w, -1)
    return torch.cat([of_x, of_y], -1).flatten(1, 2)


@contextmanager
def jittered_positions(backbone: nn.Module, enabled: bool = True) -> Iterator[None]:
    """Have a backbone in evaluation mode, a teacher, jitter its positions as in training mode, if it has the option."""
    backbone.jitters_in_evaluation = enabled
    try:
        yield
    finally:
        backbone.jitters_in_evaluation = False
