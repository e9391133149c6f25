"""Probe: objects of held-out generated scenes; needs no data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flsl_mm.scenes.painter import CLASSES, render_scene

from ..features import image_tensor
from ..knn import chance_accuracy, knn_scores
from ..linear_probe import fit_linear_probe
from ..matched_auc import matched_same_object_auc
from ..patches import patch_majority
from .images import feature_maps
from .scores import Score, share_score
from .sources import FeatureSource


class ScenesProbe:
    """Matched same-object AUC, and the class of object patches by k-NN and linear classifiers from other scenes.

    Mind the k-NN's zero: textures are generated, and the plain pixels of a patch score as high as good features do.
    What a linear classifier gets, plain pixels do not have (docs/evidence.md).

    Args:
        num_scenes: Scenes whose patches are classified; as many others are the neighbors. The AUC is over all.
        size: Side of the scenes in pixels, a multiple of the patch size.
        seed: Seed of the scenes; whatever it is, no training has seen them (their split is 'val').
        k: Number of neighbors.
        temperature: Of their weights.

    Attributes:
        images: The scenes, uint8 (2 ``num_scenes``, 3, size, size).
        instances: The object of each pixel, 0 for background (2 ``num_scenes``, size, size).
    """

    rows = {
        'matched_auc': 'matched same-object AUC',
        'knn_accuracy': 'object patches, {k}-NN class accuracy',
        'linear_accuracy': 'object patches, linear class accuracy',
    }
    more_is_better = True

    def __init__(
        self, num_scenes: int = 64, size: int = 128, seed: int = 0, k: int = 20, temperature: float = 0.07
    ) -> None:
        self.num_scenes = num_scenes
        self.size = size
        self.k = k
        self.temperature = temperature
        self.rows = {key: row.format(k=k) for key, row in self.rows.items()}
        self.title = f'scenes: {2 * num_scenes} held out, {size} pixels, {len(CLASSES)} classes'
        self.skipped: dict[str, str] = {}
        scenes = [render_scene(seed, index, (size, size), split='val') for index in range(2 * num_scenes)]
        self.images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
        self.instances = torch.from_numpy(np.stack([scene.instance_map for scene in scenes])).long()
        self._labels = [torch.from_numpy(scene.labels) for scene in scenes]

    def patches(self, patch_size: int) -> tuple[Tensor, Tensor]:
        """Return the object and the class of each patch (2 num_scenes, h, w).

        Returns:
            Objects, 0 for background, -1 where nothing covers half of a patch; classes, -1 off objects.
        """
        if self.size % patch_size:
            raise ValueError(
                f'scenes of {self.size} pixels are not a multiple of the patch size {patch_size}: set another size'
            )
        owners = patch_majority(self.instances, patch_size, min_share=0.5)
        classes = torch.full_like(owners, -1)
        for of_scene, owner, labels in zip(classes, owners, self._labels, strict=True):
            of_scene[owner > 0] = labels[owner[owner > 0] - 1]
        return owners, classes

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features."""
        owners, classes = self.patches(source.patch_size)
        features = torch.stack([of_scene for _, of_scene in feature_maps(source, self.images, image_tensor, {})])
        owners, classes, n = owners.to(features.device), classes.to(features.device), self.num_scenes
        known, evaluated = classes[:n] >= 0, classes[n:] >= 0
        memory, labels, tokens = features[:n][known], classes[:n][known], features[n:][evaluated]
        answers = dict(
            knn_accuracy=knn_scores(memory, labels, tokens, len(CLASSES), self.k, self.temperature),
            linear_accuracy=fit_linear_probe(memory, labels, len(CLASSES))(tokens),
        )
        scores = {key: self.accuracy(answer.argmax(-1), classes[n:], evaluated) for key, answer in answers.items()}
        return dict(matched_auc=Score(*matched_same_object_auc(features, owners)), **scores)

    @staticmethod
    def accuracy(answers: Tensor, classes: Tensor, evaluated: Tensor) -> Score:
        """Score answers (M,) to the patches that are evaluated, of classes and bool (num_scenes, h, w)."""
        right = torch.zeros_like(evaluated)
        right[evaluated] = answers == classes[evaluated]
        return share_score(torch.stack([right.flatten(1).sum(1), evaluated.flatten(1).sum(1)], dim=-1).cpu())

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return 0.5, and the accuracies of always answering the most frequent class."""
        _, classes = self.patches(patch_size)
        known, evaluated = classes[: self.num_scenes], classes[self.num_scenes :]
        accuracy = chance_accuracy(known[known >= 0], evaluated[evaluated >= 0])
        return dict(matched_auc=0.5, knn_accuracy=accuracy, linear_accuracy=accuracy)
