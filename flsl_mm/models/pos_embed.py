"""Fixed sine-cosine position tables and their resizing (pure functions).

The table is our own code because timm's has its channels in another order, in which FLSL's weights mean nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH_OFFSET = 0.1
"""Added to the target grid before the scale factor is taken (DINO, ``vision_transformer.py``)."""


WAVELENGTH_BASE = 10000.0
"""Base of the geometric series of wavelengths of the sine-cosine code."""


def sincos_pos_embed(embed_dim: int, grid_hw: tuple[int, int], scale: float = 1.0) -> Tensor:
    """Build the 2-D sine-cosine table of MAE/MoCo v3: first half of the channels codes x, second half y.

    Args:
        embed_dim: Width C, a multiple of 4.
        grid_hw: Grid size (h, w) in patches.
        scale: Ours: distance of neighbors on the plane; 0 gives all places the code of the origin.

    Returns:
        Table (1, h * w, C), float32, rows in raster order.

    Raises:
        ValueError: If ``embed_dim`` is not a multiple of 4.
    """
    if embed_dim % 4:
        raise ValueError(f'sine-cosine positions need embed_dim divisible by 4, got {embed_dim}')
    h, w = grid_hw
    omega = WAVELENGTH_BASE ** -(torch.arange(embed_dim // 4, dtype=torch.float64) / (embed_dim // 4))
    y, x = torch.meshgrid(torch.arange(h, dtype=torch.float64), torch.arange(w, dtype=torch.float64), indexing='ij')
    angles = [scale * axis.reshape(-1, 1) * omega for axis in (x, y)]
    table = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return table.float().unsqueeze(0)


def scale_of_sincos(table: Tensor, grid_hw: tuple[int, int]) -> float | None:
    """Return the scale with which a table (1, h * w, C) is a sine-cosine one, to half precision; None if it is none."""
    embed_dim = table.shape[2]
    if embed_dim % 4:
        return None
    # The fastest wave turns by the scale from one column to the next; a table of one column has the usual scale.
    sine, cosine = table[0, min(1, grid_hw[1] - 1), [0, embed_dim // 4]].double()
    scale = round(float(torch.atan2(sine, cosine)), 3) if grid_hw[1] > 1 else 1.0
    agrees = torch.allclose(table.float(), sincos_pos_embed(embed_dim, grid_hw, scale), atol=5e-3)
    return scale if agrees and scale >= 0 else None


def resize_pos_embed(
    pos_embed: Tensor, grid_hw: tuple[int, int], target_hw: tuple[int, int], mode: str = 'offset'
) -> Tensor:
    """Resize a position table to another grid with bicubic interpolation, without antialiasing.

    Args:
        pos_embed: Table (1, h * w, C).
        grid_hw: Its grid (h, w).
        target_hw: Wanted grid.
        mode: ``'offset'`` samples with the scale factor ``(target + 0.1) / source`` of DINO and FLSL, which shifts
            samples slightly; ``'size'`` samples by the exact target size.

    Returns:
        Table (1, target_h * target_w, C).

    Raises:
        ValueError: If ``mode`` is unknown.
    """
    if mode not in ('offset', 'size'):
        raise ValueError(f"position resize mode must be 'offset' or 'size', got {mode!r}")
    if tuple(grid_hw) == tuple(target_hw):
        return pos_embed
    grid = pos_embed.reshape(1, *grid_hw, -1).permute(0, 3, 1, 2)
    if mode == 'offset':
        scale = tuple((target + PATCH_OFFSET) / source for target, source in zip(target_hw, grid_hw, strict=True))
        grid = F.interpolate(grid, scale_factor=scale, mode='bicubic')
    else:
        grid = F.interpolate(grid, size=tuple(target_hw), mode='bicubic', align_corners=False)
    return grid.flatten(2).transpose(1, 2)
