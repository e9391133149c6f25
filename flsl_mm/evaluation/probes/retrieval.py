"""Probes: segmentation by retrieval and by clusters, on a folder of images and masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flsl_mm.datasets.masks import read_mask

from ..clustering import (
    contingency,
    kmeans,
    match_many_to_one,
    match_one_to_one,
    named_counts,
    nearest_center,
)
from ..dense_retrieval import (
    Search,
    exact_search,
    faiss_search,
    label_map,
    patch_class_shares,
    retrieve_labels,
    sample_patches,
)
from ..segmentation import class_counts, mean_iou
from .images import feature_maps, fitted, fitting_hw
from .scores import Score
from .segmentation import SegmentationProbe
from .sources import FeatureSource

SEARCHES = ('exact', 'faiss')


def require(package: str, purpose: str) -> None:
    """Ask for an optional package before anything is measured.

    Raises:
        ValueError: If it is not installed.
    """
    if find_spec(package.partition('-')[0]) is None:
        raise ValueError(f'{purpose} needs the package {package}: pip install {package}, or the extra retrieval')


class RetrievalProbe(SegmentationProbe):
    """Mean IoU of pixels whose patches take the labels of similar ones ('in-context', Hummingbird, arXiv 2306.01667).

    The memory holds patches of the training images with the shares of their classes, equally many of each image, rare
    classes first. A patch takes the weighted labels of its 30 nearest ones; labels are upsampled bilinearly to the
    size of the mask.

    Args:
        root: As of :class:`SegmentationProbe`.
        bank_sizes: Sizes of the memory, a figure each. Published ones are 10,240,000 and less.
        k: Number of neighbors.
        temperature: Divides cosine similarities.
        search: ``'exact'``, or ``'faiss'``, which gives the same neighbors but among ties.
        **options: ``num_classes``, ``ignore_index``, ``class_names``, ``size``, ``limit`` and ``seed`` likewise.

    Raises:
        ValueError: If there is no bank size, another search, or no package for it; or as of :class:`SegmentationProbe`.
    """

    def __init__(
        self,
        root,
        bank_sizes: Sequence[int] = (10_000, 100_000, 1_000_000),
        k: int = 30,
        temperature: float = 0.02,
        search: str = 'exact',
        **options,
    ) -> None:
        if not bank_sizes or search not in SEARCHES:
            raise ValueError(f'bank_sizes must have a number and search be one of {SEARCHES}, got {search!r}')
        if search == 'faiss':
            require('faiss-cpu', 'search by faiss')
        super().__init__(root, k=k, temperature=temperature, **options)
        self.search = search
        self.bank_sizes = sorted(set(bank_sizes))
        self.rows = {f'bank_{size}': f'in-context {k}-NN mIoU, bank {size:,}' for size in self.bank_sizes}
        self.title = self.title.replace('segmentation', 'retrieval', 1)

    def _pixels(self, path, patch_size: int) -> Tensor:
        """Read a mask at the size of the network's input, classes that do not count as -1."""
        mask = read_mask(path).astype(np.int32)
        mask[mask == self.ignore_index] = -1
        height, width = fitting_hw(mask.shape, self.size, patch_size)
        return torch.from_numpy(np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)))

    def memory(self, source: FeatureSource) -> list[tuple[Tensor, Tensor]]:
        """Return what each image puts into the memory: features (n, C) and shares of classes (n, K), in drawn order."""
        most = -(-self.bank_sizes[-1] // len(self.train))
        generator = torch.Generator().manual_seed(self.seed)
        read = partial(fitted, size=self.size, patch_size=source.patch_size)
        memory = []
        for index, features in feature_maps(source, [pair.image for pair in self.train], read, self.skipped):
            pixels = self._pixels(self.train[index].mask, source.patch_size)
            shares = patch_class_shares(pixels, source.patch_size, self.num_classes)
            drawn = sample_patches(shares, most, generator)
            memory.append(
                (features.flatten(0, 1)[drawn.to(features.device)].float(), shares[drawn].to(features.device))
            )
        if not sum(len(features) for features, _ in memory):
            raise ValueError(f'no annotated patch in {self.root / "annotations/train"}')
        return memory

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        memory = self.memory(source)
        banks = {}
        for key, size in zip(self.rows, self.bank_sizes, strict=True):
            count = -(-size // len(self.train))
            bank, shares = (torch.cat([of_image[part][:count] for of_image in memory]) for part in (0, 1))
            search: Search = exact_search
            if self.search == 'faiss':
                search = faiss_search(torch.nn.functional.normalize(bank, dim=-1))
            banks[key] = (bank, shares, search)
        counts: dict[str, list[Tensor]] = {key: [] for key in self.rows}
        read = partial(fitted, size=self.size, patch_size=source.patch_size)
        for index, features in feature_maps(source, self.images, read, self.skipped):
            mask = torch.from_numpy(read_mask(self.val[index].mask).astype(np.int64))
            mask[mask == self.ignore_index] = -1
            for key, (bank, shares, search) in banks.items():
                labels = retrieve_labels(bank, shares, features.flatten(0, 1), self.k, self.temperature, search)
                predicted = label_map(labels.unflatten(0, features.shape[:2]), tuple(mask.shape)).cpu()
                counts[key].append(class_counts(predicted.flatten(), mask.flatten(), self.num_classes))
        return {key: self._score(torch.stack(of_images)) for key, of_images in counts.items()}

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return the mean IoU of the better of two blind answers, on patches."""
        value = next(iter(super().chance(patch_size).values()))
        return dict.fromkeys(self.rows, value)


class ClusteringProbe(SegmentationProbe):
    """Mean IoU of K-means clusters of the validation patches that are named by the masks afterwards.

    As many clusters as classes, matched one to one (Hungarian), and ``num_clusters`` clusters, each of which gets the
    class that most of its patches have (overclustering, as of arXiv 2204.13101). The names are taken from the masks
    that are evaluated: a figure of what could be read off, not of a prediction.

    Args:
        root: As of :class:`SegmentationProbe`; ``train`` must be there, but is not used.
        num_clusters: Clusters of the second figure.
        bank_size: Validation patches that clusters are found on, drawn with ``seed``; all patches are counted.
        **options: As of :class:`SegmentationProbe`.

    Raises:
        ValueError: If scipy is not installed; or as of :class:`SegmentationProbe`.
    """

    def __init__(self, root, num_clusters: int = 500, bank_size: int = 30_000, **options) -> None:
        require('scipy', 'matching clusters to classes')
        super().__init__(root, bank_size=bank_size, **options)
        self.num_clusters = num_clusters
        self.rows = {
            'hungarian_miou': f'{self.num_classes} clusters, Hungarian, mIoU',
            'overclustering_miou': f'{num_clusters} clusters, mIoU',
        }
        self.title = self.title.replace('segmentation', 'clusters', 1)

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        labels = self.labels(source.patch_size)[1]
        drawn = self._draw(labels)
        read = partial(fitted, size=self.size, patch_size=source.patch_size)
        known = [
            features.flatten(0, 1)[drawn[index].to(features.device)].float()
            for index, features in feature_maps(source, self.images, read, self.skipped)
        ]
        if not sum(map(len, known)):
            raise ValueError(f'no annotated patch in {self.root / "annotations/val"}')
        known = torch.nn.functional.normalize(torch.cat(known), dim=-1)
        numbers = dict(zip(self.rows, (self.num_classes, min(self.num_clusters, len(known))), strict=True))
        centers = {key: kmeans(known, number, seed=self.seed)[0] for key, number in numbers.items()}
        counts = {key: [] for key in self.rows}
        for index, features in feature_maps(source, self.images, read, self.skipped):
            tokens = torch.nn.functional.normalize(features.flatten(0, 1).float(), dim=-1)
            for key, of_key in centers.items():
                clusters = nearest_center(tokens, of_key).cpu()
                counts[key].append(contingency(clusters, labels[index], numbers[key], self.num_classes))
        matches = dict(zip(self.rows, (match_one_to_one, match_many_to_one), strict=True))
        scores = {}
        for key, of_images in counts.items():
            names = matches[key](torch.stack(of_images).sum(0))
            scores[key] = self._score(torch.stack([named_counts(counts, names) for counts in of_images]))
        return scores

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return the mean IoU of one cluster, named after the most frequent class."""
        val = torch.cat(self.labels(patch_size)[1])
        val = val[val != self.ignore_index]
        constant = class_counts(val.mode().values.expand_as(val), val, self.num_classes)
        return dict.fromkeys(self.rows, float(mean_iou(constant)))
