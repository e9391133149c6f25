"""Do features tell patches of one object from patches of two, at equal displacement (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def share_below(scores: Tensor, others: Tensor) -> Tensor:
    """Give the share of ``others`` (N,) that lies below each of ``scores`` (P,), ties counting half; (P,) float64."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, scores.contiguous())
    not_above = torch.searchsorted(ordered, scores.contiguous(), right=True)
    return (below + not_above).double() / (2 * len(others))


def roc_auc(positive: Tensor, negative: Tensor) -> float:
    """Give the share of (positive, negative) pairs of scores in the right order, ties counting half (Mann-Whitney).

    Args:
        positive: Scores that should be high (P,).
        negative: Scores that should be low (N,).

    Returns:
        Area under the ROC curve in 0..1, 0.5 by chance; NaN if either is empty.
    """
    if not len(positive) or not len(negative):
        return float('nan')
    return float(share_below(positive, negative).mean())


def matched_same_object_auc(features: Tensor, owners: Tensor, min_pairs: int = 20) -> tuple[float, float]:
    """Area under the ROC curve of same-object pairs by cosine similarity, among pairs of equal displacement.

    Near patches often belong to one object, so whatever codes position scores high when all pairs are compared: the
    sine-cosine table alone, without any image, reaches 0.94. Here a pair of one object is compared only with pairs of
    two objects that lie equally far apart in the same direction, within the same image or another.

    The standard error counts images, not pairs (Obuchowski, Biometrics 1997): each image's pairs move the AUC together.

    Args:
        features: Patch features (B, h, w, C).
        owners: Object of each patch (B, h, w); pairs of patches with owners above 0 count.
        min_pairs: Displacements with fewer pairs of either kind are left out.

    Returns:
        AUC in 0..1, 0.5 by chance, and its standard error over images; NaN when no displacement has enough pairs.
    """
    features = F.normalize(features.float(), dim=-1)
    batch, h, w = owners.shape
    images = torch.arange(batch, device=owners.device).view(-1, 1, 1)
    influence = torch.zeros(batch, dtype=torch.double, device=owners.device)
    total, weights = 0.0, 0
    for dy in range(h):
        for dx in range(-w + 1, w):
            if dy == 0 and dx <= 0:
                continue
            first = (slice(None), slice(0, h - dy), slice(max(0, -dx), w - max(0, dx)))
            second = (slice(None), slice(dy, h), slice(max(0, dx), w - max(0, -dx)))
            a, b = owners[first], owners[second]
            counted = (a > 0) & (b > 0)
            same = (a == b)[counted]
            pairs = min(int(same.sum()), int((~same).sum()))
            if pairs < min_pairs:
                continue
            # Rounded, so that pairs which are equal but for the order of summation tie.
            similarity = (features[first][counted] * features[second][counted]).sum(-1).mul(1e5).round()
            positive, negative = similarity[same], similarity[~same]
            image = images.expand_as(a)[counted]
            won, lost = share_below(positive, negative), share_below(negative, positive)
            auc = float(won.mean())
            total += pairs * auc
            weights += pairs
            influence.index_add_(0, image[same], (won - auc) * (pairs / len(won)))
            influence.index_add_(0, image[~same], (1 - lost - auc) * (pairs / len(lost)))
    if not weights:
        return float('nan'), float('nan')
    error = (influence / weights).square().sum() * batch / (batch - 1) if batch > 1 else torch.tensor(torch.nan)
    return total / weights, float(error.sqrt())
