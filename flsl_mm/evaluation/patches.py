"""Reduce labels of pixels to labels of patches (pure functions)."""

from __future__ import annotations

from torch import Tensor


def patch_majority(labels: Tensor, patch_size: int, min_share: float = 0.0, ignore_index: int = -1) -> Tensor:
    """Assign each patch the label that covers most of its pixels; of equally many, the smallest.

    Args:
        labels: Labels of pixels (B, H, W), 0 or more, H and W multiples of the patch size.
        patch_size: Side of a patch in pixels.
        min_share: Smallest share of a patch's pixels that its label must cover; other patches get ``ignore_index``.
        ignore_index: Label of pixels without annotation, which have no vote; may be any number.

    Returns:
        Labels of patches (B, h, w); ``ignore_index`` where no pixel is annotated.

    Raises:
        ValueError: If H or W is not a multiple of the patch size.
    """
    batch, height, width = labels.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f'labels of {height}x{width} pixels are not a multiple of the patch size {patch_size}')
    h, w = height // patch_size, width // patch_size
    pixels = labels.reshape(batch, h, patch_size, w, patch_size).transpose(2, 3).reshape(batch * h * w, -1).long()
    annotated = (pixels != ignore_index) & (pixels >= 0)
    num_labels = int(pixels[annotated].max()) + 1 if annotated.any() else 1
    votes = pixels.new_zeros(len(pixels), num_labels)
    votes.scatter_add_(1, pixels.where(annotated, 0), annotated.long())
    count, winner = votes.max(-1)
    found = (count > 0) & (count >= min_share * patch_size**2)
    return winner.where(found, ignore_index).view(batch, h, w)
