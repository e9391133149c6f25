"""The backbone in operations that a graph for any image size can hold.

Padding, grid and positions of :class:`~flsl_mm.models.FLSLViT` follow the image in Python, which a graph would freeze.
Here they are arithmetic on tensors, with the same results up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.models.pos_embed import PATCH_OFFSET

CUBIC = -0.75
"""Parameter of the cubic convolution that torch interpolates with."""


class TraceableFeatures(nn.Module):
    """Features (B, h, w, C) of images (B, 3, H, W), RGB 0 to 1: what a feature extractor gives, fit for tracing."""

    def __init__(self, model: FeatureExtractor) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        backbone, patch_size = self.model.backbone, self.model.patch_size
        # One pixel short of a whole patch of zeros: the convolution leaves out what does not fill a patch.
        padded = F.pad(self.model.normalize(images), (0, patch_size - 1, 0, patch_size - 1))
        patches = backbone.patch_embed.proj(padded)
        rows, cols = patches.shape[2:]
        table, grid_hw, mode = backbone.pos_embed[0], backbone.spec.grid_hw, backbone.spec.pos_resize
        tokens = patches.flatten(2).transpose(1, 2) + resized_positions(table, grid_hw, (rows, cols), mode)
        for block in backbone.blocks:
            tokens = block(tokens)
        if backbone.final_norm:
            tokens = backbone.norm(tokens)
        return tokens.reshape(images.shape[0], rows, cols, tokens.shape[-1])


def resized_positions(table: Tensor, grid_hw: tuple[int, int], target_hw: tuple[int, int], mode: str) -> Tensor:
    """Resize a position table as :func:`~flsl_mm.models.pos_embed.resize_pos_embed`, by a matrix of cubic weights.

    Args:
        table: Table (h * w, C).
        grid_hw: Its grid (h, w).
        target_hw: Wanted grid, of numbers or of symbols.
        mode: ``'offset'`` or ``'size'``.

    Returns:
        Table (target_h * target_w, C).
    """
    height, width = (torch.full((), side, dtype=torch.int64) for side in target_hw)
    offset = PATCH_OFFSET if mode == 'offset' else 0.0
    same = (height == grid_hw[0]) & (width == grid_hw[1])
    scales = [
        torch.where(same, 1.0, (side + offset) / source) for side, source in zip((height, width), grid_hw, strict=True)
    ]
    patches = torch.arange(target_hw[0] * target_hw[1])
    row = torch.div(patches, width, rounding_mode='floor')
    along_rows = cubic_weights(row, grid_hw[0], scales[0])
    along_cols = cubic_weights(patches - row * width, grid_hw[1], scales[1])
    return (along_rows[:, :, None] * along_cols[:, None, :]).flatten(1) @ table


def cubic_weights(targets: Tensor, source: int, scale: Tensor) -> Tensor:
    """Return the weights of bicubic interpolation along one axis, beyond whose ends its last values count.

    Args:
        targets: Positions on the new axis (N,).
        source: Length of the old axis.
        scale: Factor from the old axis to the new one, a scalar.

    Returns:
        Weights (N, source), rows sum to one.
    """
    at = (targets + 0.5) / scale - 0.5
    taps = at.floor()[:, None] + torch.arange(-1, 3)
    distance = (at[:, None] - taps).abs()
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * CUBIC - 4 * CUBIC
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
    chosen = taps.clamp(0, source - 1)[..., None] == torch.arange(source)
    return (weights[..., None] * chosen).sum(1)
