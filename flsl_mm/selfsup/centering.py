"""Ours: take out of the teacher's logits what the image as a whole, or a place in the view, says of every query."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .distributed import sum_over_processes


def image_mean(logits: Tensor, counted: Tensor) -> Tensor:
    """Average the logits (B, Q, K) of each image's queries where ``counted`` (B, Q, bool) says so; (B, 1, K)."""
    weights = counted[..., None].to(logits.dtype)
    return (logits * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1)


def cell_of(places: Tensor, cells: int) -> Tensor:
    """Number the cell (..., int64) of places (..., 2), in sides of the view, in a grid of ``cells`` times ``cells``."""
    column, row = (places * cells).long().clamp(0, cells - 1).unbind(-1)
    return row * cells + column


class TargetCentering(nn.Module):
    """Center the teacher's logits by image and by place, so that the target is neither.

    Without it, assignments may name the picture (its background color, say) or where in the view a query lies, both of
    which are easy to predict and tell nothing about objects (docs/evidence.md).

    Args:
        num_prototypes: Number of prototypes K.
        image: Take off this share of the mean of each image's logits, 0 to 1; with less than 1, prototypes also tell
            kinds of images apart.
        cells: Take off the running mean of each cell's logits, in a grid of so many cells a side over the teacher
            view; 0 does not.
        momentum: Share of itself that a cell's running mean keeps at a step.

    Raises:
        ValueError: If an option has an impossible value.
    """

    def __init__(self, num_prototypes: int, image: float = 1.0, cells: int = 6, momentum: float = 0.9) -> None:
        super().__init__()
        if cells < 0 or not 0 <= momentum < 1 or not 0 <= image <= 1:
            raise ValueError(
                'target_centering: image must lie in 0..1, cells be 0 or more, momentum lie in 0..1 without 1, got '
                f'{image=}, {cells=}, {momentum=}'
            )
        self.image, self.cells, self.momentum = image, cells, momentum
        self.register_buffer('means', torch.zeros(cells**2, num_prototypes))
        self.register_buffer('seen', torch.zeros(cells**2, 1, dtype=torch.bool))

    @torch.no_grad()
    def forward(self, logits: Tensor, places: Tensor | None, counted: Tensor) -> Tensor:
        """Center logits and, before that, move the running means.

        Args:
            logits: The teacher's logits (B, Q, K).
            places: x and y of the queries in sides of the teacher view (B, Q, 2); needed with cells.
            counted: Which queries lie in the teacher view (B, Q), bool; the others count in no mean.

        Returns:
            Centered logits (B, Q, K), float32.
        """
        logits = logits.float()
        if self.image:
            logits = logits - self.image * image_mean(logits, counted)
        if self.cells:
            cells = cell_of(places, self.cells)
            self.update(logits.flatten(0, 1), cells.flatten(), counted.flatten())
            logits = logits - self.means[cells]
        return logits

    def update(self, logits: Tensor, cells: Tensor, counted: Tensor) -> None:
        """Move the means of the cells (Q,) towards those of this step's logits (Q, K), over all processes."""
        weights = counted[:, None].to(logits.dtype)
        sums = logits.new_zeros(len(self.means), logits.shape[-1] + 1)
        sums.index_add_(0, cells, torch.cat([logits * weights, weights], 1))
        sums = sum_over_processes(sums)
        totals, counts = sums[:, :-1], sums[:, -1:]
        # A step on NaN is left out (see FLSLOptimWrapper); it must not stay in the running means either.
        valid = (counts > 0) & totals.isfinite().all()
        means = torch.where(valid, totals / counts.clamp_min(1), self.means)
        moved = torch.where(self.seen, self.means.lerp(means, 1 - self.momentum), means)
        self.means.copy_(torch.where(valid, moved, self.means))
        self.seen.logical_or_(valid)
