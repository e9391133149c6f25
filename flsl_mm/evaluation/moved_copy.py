"""Whether features follow what an image shows or where it is: an image beside a copy whose parts have moved.

Pure functions that need no labels. They say how stable features are, not how useful; but features of place alone cannot
score in them, since whatever is in the image is elsewhere in the copy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as TF


def moved_copy(image: Tensor, patch_size: int) -> Tensor:
    """Exchange the quarters of an image diagonally and change its colors.

    Args:
        image: RGB (3, H, W), 0 to 1, whole patches.
        patch_size: Side of a patch in pixels; quarters are of whole patches.

    Returns:
        The copy (3, H, W): darker, paler and of other hues.
    """
    shift = [side // patch_size // 2 * patch_size for side in image.shape[1:]]
    copy = torch.roll(image, shift, (1, 2))
    return TF.adjust_saturation(TF.adjust_contrast(TF.adjust_brightness(TF.adjust_hue(copy, 0.08), 0.75), 0.8), 0.7)


def moved_back(values: Tensor) -> Tensor:
    """Bring values of the copy's patches (h, w, ...) to the places that these have in the image."""
    return torch.roll(values, [-(side // 2) for side in values.shape[:2]], (0, 1))


def same_patch_rank(features: Tensor, copied: Tensor) -> float:
    """Share of a copy's patches that are less like a patch than that patch itself is, averaged over the patches.

    Args:
        features: Patch features of the image (h, w, C).
        copied: Those of the copy, at the image's places (:func:`moved_back`).

    Returns:
        0 to 1: 1 where each patch is found again as the most similar one, 0.5 on average where chance decides.
    """
    similar = _tokens(features) @ _tokens(copied).T
    own = similar.diag()[:, None]
    if len(similar) < 2:
        return 0.5
    # A patch ties with itself, which counts for half.
    below = (similar < own).sum() + 0.5 * ((similar == own).sum() - len(similar))
    return float(below / (len(similar) * (len(similar) - 1)))


def clusters_found_again(features: Tensor, copied: Tensor, labels: Tensor) -> float:
    """Agreement beyond chance (Cohen's kappa) of the clusters of an image with those that its copy's patches fall into.

    In both, a patch belongs to the cluster whose mean direction in the image is most like its feature.

    Args:
        features: Patch features of the image (h, w, C).
        copied: Those of the copy, at the image's places.
        labels: Clusters of the image (h, w), ids 0 to K - 1, each on at least one patch.

    Returns:
        -1 to 1: 1 for the same clusters, 0 for an agreement by chance, or if there is one cluster only.
    """
    tokens, labels = _tokens(features), labels.flatten().to(features.device)
    means = F.normalize(torch.stack([tokens[labels == k].mean(0) for k in range(int(labels.max()) + 1)]), dim=-1)
    ours, theirs = ((each @ means.T).argmax(-1) for each in (tokens, _tokens(copied)))
    shares = [each.bincount(minlength=len(means)).double() / len(tokens) for each in (ours, theirs)]
    by_chance = float((shares[0] * shares[1]).sum())
    agreement = float((ours == theirs).double().mean())
    return (agreement - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def color_correlation(colors: Tensor, copied: Tensor) -> float:
    """Correlation of patches' colors (h, w, 3) with those of the copy at the image's places, averaged over the three.

    Returns:
        -1 to 1; a color that is the same everywhere counts as 0.
    """
    ours, theirs = (each.flatten(0, 1).double() for each in (colors, copied))
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    lengths = ours.norm(dim=0) * theirs.norm(dim=0)
    return float(((ours * theirs).sum(0) / lengths.clamp_min(1e-12)).mean())


def _tokens(features: Tensor) -> Tensor:
    return F.normalize(features.flatten(0, 1).float(), dim=-1)
