"""Probe: k-NN classification of images by the mean of their patch features, on class folders."""

from __future__ import annotations

import os
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor

from flsl_mm.datasets.folder import find_images

from ..knn import chance_accuracy, knn_scores
from .images import feature_maps, fitted, sample
from .scores import Score, accuracy_score
from .sources import FeatureSource

LAYOUT = 'classification needs train/CLASS/IMAGE and val/CLASS/IMAGE'


class ClassificationProbe:
    """Weighted k-NN classification of the mean patch token.

    Args:
        root: Folder with ``train/CLASS/*`` and ``val/CLASS/*``.
        size: The shorter side is resized to at most this many pixels, and the square in the middle is taken.
        k: Number of neighbors.
        temperature: Of their weights.
        limit: Images of each split, drawn with ``seed``; all of them by default.
        seed: Seed of the draw.

    Raises:
        FileNotFoundError: If a folder is missing, or holds no image.
        ValueError: If ``val`` has a class that ``train`` has not.
    """

    rows = {'knn_accuracy': '{k}-NN accuracy of the mean token'}
    more_is_better = True

    def __init__(
        self,
        root: str | os.PathLike,
        size: int | None = 224,
        k: int = 20,
        temperature: float = 0.07,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self.root = Path(root)
        self.size = size
        self.k = k
        self.temperature = temperature
        self.skipped: dict[str, str] = {}
        self.classes = self._folders('train')
        if unknown := [name for name in self._folders('val') if name not in self.classes]:
            raise ValueError(f'class {unknown[0]} is in {self.root / "val"} and not in {self.root / "train"}: {LAYOUT}')
        (self.train, self.train_labels), (self.images, self.labels) = (
            self._files(split, limit, seed) for split in ('train', 'val')
        )
        self.rows = {key: row.format(k=k) for key, row in self.rows.items()}
        self.title = (
            f'classification {self.root.name}: {len(self.train)} + {len(self.images)} images, '
            f'{len(self.classes)} classes, squares of at most {size or "their shorter side"}'
        )

    def _folders(self, split: str) -> list[str]:
        folder = self.root / split
        if not folder.is_dir():
            raise FileNotFoundError(f'no folder {folder}: {LAYOUT}')
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != '.')
        if not names:
            raise FileNotFoundError(f'no class folder in {folder}: {LAYOUT}')
        return names

    def _files(self, split: str, limit: int | None, seed: int) -> tuple[list[Path], Tensor]:
        paths = find_images(self.root / split, advice=LAYOUT)
        classes = [paths.name(index).partition('/')[0] for index in range(len(paths))]
        if empty := set(self._folders(split)) - set(classes):
            raise FileNotFoundError(f'no image in the folder {self.root / split / min(empty)}: {LAYOUT}')
        known = {name: label for label, name in enumerate(self.classes)}
        labels = [(known[name], path) for name, path in zip(classes, paths, strict=True) if name in known]
        drawn = [(Path(path), label) for label, path in sample(sorted(labels, key=itemgetter(0)), limit, seed)]
        return [path for path, _ in drawn], torch.tensor([label for _, label in drawn])

    def _means(self, source: FeatureSource, images: list[Path], labels: Tensor) -> tuple[Tensor, Tensor]:
        read = partial(fitted, size=self.size, patch_size=source.patch_size, square=True)
        found = [
            (index, features.float().mean((0, 1)))
            for index, features in feature_maps(source, images, read, self.skipped)
        ]
        if not found:
            raise ValueError(f'none of the {len(images)} images below {self.root} can be read')
        means = torch.stack([mean for _, mean in found])
        return means, labels[[index for index, _ in found]].to(means.device)

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        bank, bank_labels = self._means(source, self.train, self.train_labels)
        means, labels = self._means(source, self.images, self.labels)
        scores = knn_scores(bank, bank_labels, means, len(self.classes), self.k, self.temperature)
        return dict(knn_accuracy=accuracy_score((scores.argmax(-1) == labels).cpu()))

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return the accuracy of always answering the most frequent class."""
        return dict(knn_accuracy=chance_accuracy(self.train_labels, self.labels))
