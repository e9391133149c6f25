"""Probe: the paper's bbox-aligned k-NN classification, on COCO annotation files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import functional as TF

from ..bbox_knn import (
    bbox_knn_right,
    box_patches,
    chance_bbox_accuracy,
    largest_box,
    resized_boxes,
)
from ..features import image_tensor
from .boxes import BoxedImage, read_boxed_images
from .images import feature_maps, sample
from .scores import Score, accuracy_score
from .sources import FeatureSource

RESIZE, CROP = 256, 224
"""Length in pixels of the shorter side after resizing, and side of the square then cut out of the middle."""


class Target(NamedTuple):
    """An image and its largest box, corners in pixels of the square in the middle (4,), and the box's category."""

    image: BoxedImage
    box: Tensor
    label: int

    def __str__(self) -> str:
        """Name it by its path."""
        return str(self.image)

    def read(self) -> Tensor:
        """Read the square in the middle (3, CROP, CROP)."""
        return TF.center_crop(image_tensor(self.image.read(), RESIZE), [CROP, CROP])


class BBoxKNNProbe:
    """Classify an image by the 3x3 patches of its largest box (arXiv 2306.06203, section 5).

    Args:
        annotations: COCO annotation file of the images with known classes; without ``val_annotations`` half of its
            images, drawn with ``seed``, are evaluated.
        images: Folder of its images.
        val_annotations: COCO annotation file of the images that are evaluated, with the same categories.
        val_images: Folder of those; by default ``images``.
        k: Numbers of neighbors.
        temperature: Of their weights.
        official: Scale boxes and count top-5 as the original program does (:mod:`flsl_mm.evaluation.bbox_knn`).
        limit: Images of each half, drawn with ``seed``; all of them by default.
        seed: Seed of the draws.

    Raises:
        FileNotFoundError: As :func:`~flsl_mm.evaluation.probes.boxes.read_boxed_images`.
        ValueError: Likewise, or if there are fewer than two images.
    """

    more_is_better = True

    def __init__(
        self,
        annotations: str | os.PathLike,
        images: str | os.PathLike,
        val_annotations: str | os.PathLike | None = None,
        val_images: str | os.PathLike | None = None,
        k: Sequence[int] = (10, 20, 100, 200),
        temperature: float = 0.07,
        official: bool = False,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.k = tuple(k)
        self.temperature = temperature
        self.official = official
        self.skipped: dict[str, str] = {}
        boxed, names = read_boxed_images(annotations, images)
        known = self._largest_boxes(boxed)
        if val_annotations is None:
            drawn = set(sample(range(len(known)), len(known) // 2, seed))
            queries = [target for index, target in enumerate(known) if index in drawn]
            known = [target for index, target in enumerate(known) if index not in drawn]
        else:
            boxed, val_names = read_boxed_images(val_annotations, val_images or images)
            if val_names != names:
                raise ValueError(f'{val_annotations} has other categories, or in another order, than {annotations}')
            queries = self._largest_boxes(boxed)
        self.known, self.queries = (sample(part, limit, seed) for part in (known, queries))
        if not self.known or not self.queries:
            raise ValueError(f'{annotations} has too few images with a box in the middle square for bbox-aligned k-NN')
        if len({target.label for target in (*self.known, *self.queries)}) < 2:
            raise ValueError(f'{annotations} has boxes of one category only: bbox-aligned k-NN needs two or more')
        self.rows = {
            f'{top}_k{k}': f'bbox-aligned {k}-NN, {name}'
            for k in self.k
            for top, name in (('top1', 'top-1'), ('top5', 'top-5'))
        }
        counting = "the original's counting" if official else 'each image counts once'
        self.title = f'boxes of {Path(annotations).name}: {len(self.known)} + {len(self.queries)} images, {counting}'

    def _largest_boxes(self, images: list[BoxedImage]) -> list[Target]:
        """Return the largest box of each image after cropping, of the images where it has an area."""
        targets = []
        for image in images:
            boxes = resized_boxes(image.boxes, image.image_hw, RESIZE, CROP, squash=self.official)
            index = largest_box(boxes)
            if (boxes[index, 2:] > boxes[index, :2]).all():
                targets.append(Target(image, boxes[index], int(image.labels[index])))
        return targets

    def _features(self, source: FeatureSource, targets: list[Target]) -> tuple[Tensor, Tensor]:
        """Return the features of the boxes' patches (N, 9, C) and the boxes' labels (N,)."""
        found, labels = [], []
        for index, features in feature_maps(source, targets, Target.read, self.skipped):
            patches = box_patches(targets[index].box, source.patch_size, CROP).to(features.device)
            found.append(features.flatten(0, 1)[patches].float())
            labels.append(targets[index].label)
        if not found:
            raise ValueError(f'none of the {len(targets)} images can be used, {targets[0]} for one')
        return torch.stack(found), torch.tensor(labels, device=found[0].device)

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        _check_crop(source.patch_size)
        bank, queries = (self._features(source, targets) for targets in (self.known, self.queries))
        scores = {}
        for k in self.k:
            right = bbox_knn_right(*bank, *queries, k, self.temperature, count_every_rank=self.official)
            scores |= {f'{top}_k{k}': accuracy_score(of_images.cpu()) for top, of_images in right.items()}
        return scores

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return what the most frequent classes score, a different one for each of the nine patches."""
        _check_crop(patch_size)
        labels = (torch.tensor([target.label for target in targets]) for targets in (self.known, self.queries))
        chance = chance_bbox_accuracy(*labels, self.official)
        return {key: chance[key[:4]] for key in self.rows}


def _check_crop(patch_size: int) -> None:
    if CROP % patch_size:
        raise ValueError(
            f'bbox-aligned k-NN cuts out {CROP} pixels, which are not a multiple of the patch size {patch_size}'
        )
