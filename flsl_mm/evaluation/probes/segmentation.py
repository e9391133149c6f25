"""Probe: patch segmentation by k-NN and by a linear classifier, on a folder of images and masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flsl_mm.datasets.decode import image_hw
from flsl_mm.datasets.folder import find_images
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.datasets.masks import read_mask
from flsl_mm.utils.terminal import progress

from ..bootstrap import bootstrap_error
from ..knn import knn_scores
from ..linear_probe import fit_linear_probe
from ..patches import patch_majority
from ..segmentation import chance_mean_iou, class_counts, class_iou, mean_iou
from .images import feature_maps, fitted, fitting_hw, sample
from .scores import Score
from .sources import FeatureSource

MAX_CLASSES = 4096
"""Classes that are taken from the greatest number in the masks; memory grows with them."""

LAYOUT = 'segmentation needs images/train, images/val, annotations/train and annotations/val, masks named as images'


class Pair(NamedTuple):
    """An image and its mask, a PNG file of class numbers."""

    image: Path
    mask: Path


class SegmentationProbe:
    """Mean IoU of classifying patches by their nearest neighbors, and by a linear classifier, both from ``train``.

    A patch has the class that covers most of it. The features of at most ``bank_size`` training patches are kept.

    Args:
        root: Folder with ``images/{train,val}`` and ``annotations/{train,val}``; masks are PNG files of class numbers.
        num_classes: Number of classes; by default one more than the greatest number in the masks.
        ignore_index: Number of pixels that are not counted.
        class_names: Names of the classes, for the IoU of each.
        size: Images are resized so that their shorter side has at most this many pixels.
        k: Number of neighbors.
        temperature: Of their weights.
        bank_size: Training patches, drawn with ``seed`` from all that are annotated.
        limit: Images of each split, drawn with ``seed``; all of them by default.
        seed: Seed of the draws.

    Raises:
        FileNotFoundError: If a folder or a mask is missing.
        ValueError: If a mask is not of class numbers, of another size than its image, or beyond ``num_classes``, or if
            all masks together have a single class.
    """

    rows = {'knn_miou': 'patch {k}-NN mIoU', 'linear_miou': 'linear probe mIoU'}
    more_is_better = True

    def __init__(
        self,
        root: str | os.PathLike,
        num_classes: int | None = None,
        ignore_index: int = 255,
        class_names: Sequence[str] | None = None,
        size: int | None = 224,
        k: int = 20,
        temperature: float = 0.07,
        bank_size: int = 30_000,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.root = Path(root)
        self.ignore_index = ignore_index
        self.size = size
        self.k = k
        self.temperature = temperature
        self.bank_size = bank_size
        self.seed = seed
        self.skipped: dict[str, str] = {}
        self.train, self.val = (self._pairs(split, limit) for split in ('train', 'val'))
        self.num_classes = self._check_classes(num_classes or (class_names and len(class_names)))
        self.class_names = list(class_names or map(str, range(self.num_classes)))
        if len(self.class_names) != self.num_classes:
            raise ValueError(f'{len(self.class_names)} class names for {self.num_classes} classes')
        self.rows = {key: row.format(k=k) for key, row in self.rows.items()}
        self.title = (
            f'segmentation {self.root.name}: {len(self.train)} + {len(self.val)} images, '
            f'{self.num_classes} classes, shorter side {size or "as it is"}'
        )
        self._labels: dict[int, tuple[list[Tensor], list[Tensor]]] = {}

    @property
    def images(self) -> list[Path]:
        """Files of the images that are evaluated."""
        return [pair.image for pair in self.val]

    def _pairs(self, split: str, limit: int | None) -> list[Pair]:
        images, masks = self.root / 'images' / split, self.root / 'annotations' / split
        pairs = []
        paths = find_images(images, advice=LAYOUT)
        for index in sample(range(len(paths)), limit, self.seed):
            image, mask = Path(paths[index]), (masks / paths.name(index)).with_suffix('.png')
            if not mask.is_file():
                raise FileNotFoundError(f'no mask {mask} of {image}: {LAYOUT}')
            pairs.append(Pair(image, mask))
        return pairs

    def _check_classes(self, num_classes: int | None) -> int:
        """Read all masks once; give the number of classes."""
        found: set[int] = set()
        for pair in progress((*self.train, *self.val), 'masks', 'mask', leave=False):
            mask = read_mask(pair.mask)
            with suppress(ImageError):  # of the image, which feature_maps notes
                of_image = image_hw(pair.image)
                if mask.shape != of_image:
                    sizes = [f'{width}x{height}' for height, width in (mask.shape, of_image)]
                    raise ValueError(f'mask {pair.mask} is {sizes[0]} and its image {sizes[1]}')
            here = set(np.unique(mask).tolist())
            greatest = max(here - {self.ignore_index}, default=0)
            if greatest >= (num_classes or MAX_CLASSES):
                last = f', and the last of {num_classes} classes is {num_classes - 1}' if num_classes else ''
                raise ValueError(
                    f'mask {pair.mask} has class {greatest}{last}: set the number of classes (--num-classes), or the '
                    'number to ignore (--ignore-index)'
                )
            found |= here
        classes = found - {self.ignore_index}
        if len(classes) < 2:
            ignored = f' beside {self.ignore_index}, which is not counted' if self.ignore_index in found else ''
            raise ValueError(
                f'the masks in {self.root / "annotations"} have one class ({", ".join(map(str, classes)) or "none"})'
                f'{ignored}, which every answer gets right: number the classes 0, 1, ... (masks of 0 and 255 become '
                '0 and 1), or ignore another number (--ignore-index)'
            )
        return num_classes or max(classes) + 1

    def labels(self, patch_size: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return the classes of the patches of each image (h * w,), ``ignore_index`` where none, of train and val."""
        if patch_size not in self._labels:
            self._labels[patch_size] = tuple(
                [self._patch_labels(pair.mask, patch_size) for pair in pairs] for pairs in (self.train, self.val)
            )
        return self._labels[patch_size]

    def _patch_labels(self, path: Path, patch_size: int) -> Tensor:
        mask = Image.fromarray(read_mask(path).astype(np.int32))
        height, width = fitting_hw(mask.size[::-1], self.size, patch_size)
        resized = torch.from_numpy(np.array(mask.resize((width, height), Image.Resampling.NEAREST)))
        return patch_majority(resized[None].long(), patch_size, ignore_index=self.ignore_index).flatten()

    def _draw(self, labels: list[Tensor]) -> list[Tensor]:
        """Draw the patches of the bank: the indices of those of each image."""
        ends = torch.tensor([len(of_image) for of_image in labels]).cumsum(0).tolist()
        annotated = (torch.cat(labels) != self.ignore_index).nonzero().flatten()
        order = torch.randperm(len(annotated), generator=torch.Generator().manual_seed(self.seed))
        drawn = annotated[order[: self.bank_size].sort().values]
        parts = drawn.tensor_split(torch.searchsorted(drawn, torch.tensor(ends[:-1], dtype=torch.long)))
        return [part - start for part, start in zip(parts, [0, *ends[:-1]], strict=True)]

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        train, val = self.labels(source.patch_size)
        drawn = self._draw(train)
        bank, bank_labels = [], []
        read = partial(fitted, size=self.size, patch_size=source.patch_size)
        for index, features in feature_maps(source, [pair.image for pair in self.train], read, self.skipped):
            bank.append(features.flatten(0, 1)[drawn[index].to(features.device)].float())
            bank_labels.append(train[index][drawn[index]])
        if not sum(map(len, bank)):
            raise ValueError(f'no annotated patch in {self.root / "annotations/train"}')
        bank = torch.cat(bank)
        bank_labels = torch.cat(bank_labels).to(bank.device)
        linear = fit_linear_probe(bank, bank_labels, self.num_classes)
        counts: dict[str, list[Tensor]] = {key: [] for key in self.rows}
        for index, features in feature_maps(source, self.images, read, self.skipped):
            evaluated = val[index] != self.ignore_index
            tokens, labels = features.flatten(0, 1)[evaluated.to(features.device)], val[index][evaluated]
            answers = dict(
                knn_miou=knn_scores(bank, bank_labels, tokens, self.num_classes, self.k, self.temperature),
                linear_miou=linear(tokens),
            )
            for key, scores in answers.items():
                counts[key].append(class_counts(scores.argmax(-1).cpu(), labels, self.num_classes))
        if not all(counts.values()):
            raise ValueError(f'none of the {len(self.val)} images below {self.root / "images/val"} can be read')
        return {key: self._score(torch.stack(of_images)) for key, of_images in counts.items()}

    def _score(self, counts: Tensor) -> Score:
        total = counts.sum(0)
        parts = dict(zip(self.class_names, class_iou(total).tolist(), strict=True))
        return Score(float(mean_iou(total)), bootstrap_error(counts, mean_iou), parts)

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return the mean IoU of the better of two blind answers."""
        train, val = (torch.cat(labels) for labels in self.labels(patch_size))
        train, val = train[train != self.ignore_index], val[val != self.ignore_index]
        return dict.fromkeys(self.rows, chance_mean_iou(train, val, self.num_classes))
