"""Matched same-object AUC: patch pairs of one object against pairs of two, at the same places (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

DECIMALS = 10**5
"""Similarities are compared in whole multiples of its inverse, so that equal but for the order of summation ties."""


def fraction_below(scores: Tensor, places: Tensor, others: Tensor, places_of_others: Tensor) -> Tensor:
    """Return the share of the other scores of the same place that lie below each score, ties counting half.

    Args:
        scores: Whole numbers of at most :data:`DECIMALS` (P,).
        places: Their places (P,), 0 or more.
        others: Scores to compare them with (N,).
        places_of_others: Their places (N,).

    Returns:
        Shares (P,), float64; 0 where the place has no other score.
    """
    spacing = 3 * DECIMALS  # more than scores differ: they are sorted by place first
    ordered = (places_of_others * spacing + others).sort().values
    key = places * spacing + scores
    below, not_above = (torch.searchsorted(ordered, key, right=right) for right in (False, True))
    count = torch.bincount(places_of_others, minlength=int(places.max()) + 1 if len(places) else 0)
    before = count.cumsum(0) - count
    return ((below + not_above).double() / 2 - before[places]) / count[places].clamp_min(1)


def matched_same_object_auc(features: Tensor, owners: Tensor) -> tuple[float, float]:
    """Area under the ROC curve of same-object pairs by cosine similarity, among pairs at the same two places.

    Near patches often belong to one object, so whatever codes position scores high when all pairs are compared: the
    sine-cosine table alone, without any image, reaches 0.94. Here a pair of one object is compared only with pairs of
    two objects that lie at the same two places of other images, so at an equal displacement, too: whatever depends on
    position alone ties, and scores 0.5. Places are weighted as in van Elteren's test (1960), by n m / (n + m) where n
    pairs are of one object and m of two.

    The standard error counts images, not pairs (Obuchowski, Biometrics 1997): each image's pairs move the AUC together.

    Args:
        features: Patch features (B, h, w, C).
        owners: Object of each patch (B, h, w); pairs of patches with owners above 0 count.

    Returns:
        AUC in 0..1, 0.5 by chance, and its standard error over images; NaN when no two places have both kinds of pairs.
    """
    features = F.normalize(features.float(), dim=-1)
    batch, h, w = owners.shape
    images = torch.arange(batch, device=owners.device).view(-1, 1, 1)
    won, weights = (torch.zeros(batch, dtype=torch.double, device=owners.device) for _ in range(2))
    for dy in range(h):
        for dx in range(-w + 1 if dy else 1, w):
            first = (slice(None), slice(0, h - dy), slice(max(0, -dx), w - max(0, dx)))
            second = (slice(None), slice(dy, h), slice(max(0, dx), w - max(0, -dx)))
            a, b = owners[first], owners[second]
            counted = (a > 0) & (b > 0)
            if not counted.any():
                continue
            same = (a == b)[counted]
            scores = ((features[first][counted] * features[second][counted]).sum(-1) * DECIMALS).round().long()
            place = torch.arange(a[0].numel(), device=a.device).view(1, *a.shape[1:]).expand_as(a)[counted]
            image = images.expand_as(a)[counted]
            counts = [torch.bincount(place[kind], minlength=a[0].numel()) for kind in (same, ~same)]
            # What all pairs of one kind at a place weigh together: n m / (n + m).
            together = counts[0] * counts[1] / (counts[0] + counts[1]).clamp_min(1)
            for kind, count, sign in ((same, counts[0], 1), (~same, counts[1], -1)):
                weight = (together / count.clamp_min(1)).double()[place[kind]]
                share = fraction_below(sign * scores[kind], place[kind], sign * scores[~kind], place[~kind])
                won.index_add_(0, image[kind], weight * share)
                weights.index_add_(0, image[kind], weight)
    total = float(weights.sum())
    if not total:
        return float('nan'), float('nan')
    auc = float(won.sum() / total)
    # Each comparison is counted with both of its images: half of the total is the weight of all comparisons.
    influence = (won - auc * weights) / (total / 2)
    return auc, float((influence.square().sum() * batch / (batch - 1)).sqrt())
