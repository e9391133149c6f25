"""Probe: effective rank of features, on any images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..diversity import between_image_share, effective_rank, place_share, within_image_cosine
from .images import feature_maps, fitted, sample
from .scores import Score
from .sources import FeatureSource


class DiversityProbe:
    """Effective rank, cosine within images, and the shares of the variance between images and between places.

    These tell of collapse and of features that became place, not of quality: neither more nor less is better by itself.

    Args:
        images: Files, or images as :func:`~flsl_mm.evaluation.features.image_tensor` takes them.
        size: Their shorter side is resized to at most this many pixels and the square in the middle is taken.
        limit: Images to measure, drawn with ``seed``.
        seed: Seed of the draw.
        name: What the images are, for the title.
    """

    rows = {
        'effective_rank': 'effective rank',
        'within_cosine': 'cosine within images',
        'between_share': 'variance between images',
        'place_share': 'place share',
    }
    more_is_better = False

    def __init__(
        self, images: Sequence[Path | Tensor], size: int = 224, limit: int = 64, seed: int = 0, name: str = 'images'
    ) -> None:
        self.images = sample(images, limit, seed)
        self.size = size
        self.title = f'diversity of features, {name}: {len(self.images)}'
        self.skipped: dict[str, str] = {}

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        by_shape: dict[torch.Size, list[Tensor]] = {}
        read = partial(fitted, size=self.size, patch_size=source.patch_size, square=True)
        for _, features in feature_maps(source, self.images, read, self.skipped):
            by_shape.setdefault(features.shape, []).append(features.flatten(0, 1).float().cpu())
        if not by_shape:
            raise ValueError(f'none of the {len(self.images)} images can be read, {self.images[0]} for one')
        # Images smaller than ``size`` have fewer patches; the most frequent number of them is compared.
        tokens = torch.stack(max(by_shape.values(), key=len))
        cosines = torch.tensor([within_image_cosine(of_image[None]) for of_image in tokens])
        error = float(cosines.std() / len(cosines) ** 0.5) if len(cosines) > 1 else None
        return dict(
            effective_rank=Score(effective_rank(tokens.flatten(0, 1))),
            within_cosine=Score(float(cosines.mean()), error),
            between_share=Score(between_image_share(tokens)),
            place_share=Score(place_share(tokens)),
        )

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return nothing: no blind answer exists."""
        return {}
