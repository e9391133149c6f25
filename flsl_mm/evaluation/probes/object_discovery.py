"""Probe: object discovery by TokenCut, scored by CorLoc, on a COCO annotation file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from ..object_discovery import chance_corloc, correctly_localized, discover_object, patch_box
from .boxes import BoxedImage, read_boxed_images
from .images import feature_maps, fitted, sample
from .scores import Score, accuracy_score
from .sources import FeatureSource


class ObjectDiscoveryProbe:
    """Share of images whose one discovered box overlaps a true one by an IoU of 0.5 or more (CorLoc).

    Args:
        annotations: COCO annotation file.
        images: Folder of its images.
        size: The shorter side is resized to at most this many pixels. Time grows with the cube of the patches' number.
        threshold: Cosine similarity from which patches belong together.
        limit: Images, drawn with ``seed``; all of them by default.
        seed: Seed of the draw.

    Raises:
        FileNotFoundError: As :func:`~flsl_mm.evaluation.probes.boxes.read_boxed_images`.
        ValueError: Likewise.
    """

    rows = {'corloc': 'object discovery, CorLoc'}
    more_is_better = True

    def __init__(
        self,
        annotations: str | os.PathLike,
        images: str | os.PathLike,
        size: int | None = 224,
        threshold: float = 0.2,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.size = size
        self.threshold = threshold
        self.boxed = sample(read_boxed_images(annotations, images)[0], limit, seed)
        self.skipped: dict[str, str] = {}
        self.title = f'objects of {Path(annotations).name}: {len(self.boxed)} images, shorter side {size or "as it is"}'

    @property
    def images(self) -> list[Path]:
        """Files of the images."""
        return [image.path for image in self.boxed]

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""

        def read(image: BoxedImage) -> Tensor:
            return fitted(image.read(), self.size, source.patch_size)

        right = []
        for index, features in feature_maps(source, self.boxed, read, self.skipped):
            image, (h, w) = self.boxed[index], features.shape[:2]
            box = patch_box(discover_object(features.float().cpu(), self.threshold), 1, (h, w))
            height, width = image.image_hw
            in_pixels = box * torch.tensor([width / w, height / h] * 2)
            right.append(correctly_localized(in_pixels, image.boxes))
        if not right:
            raise ValueError(f'none of the {len(self.boxed)} images can be used, {self.boxed[0]} for one')
        return dict(corloc=accuracy_score(torch.tensor(right)))

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return the CorLoc of a box in the middle, of the best of ten sizes."""
        return dict(corloc=chance_corloc([i.boxes for i in self.boxed], [i.image_hw for i in self.boxed]))
