"""Compute what several models see in one image, as rows of panels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from flsl_mm.evaluation.features import FeatureExtractor, image_tensor
from flsl_mm.evaluation.moved_copy import moved_back, moved_copy
from flsl_mm.evaluation.object_discovery import discover_object, patch_box
from flsl_mm.visualization.clusters import mean_shift_clusters
from flsl_mm.visualization.paint_clusters import paint_clusters
from flsl_mm.visualization.panels import color_map, heat_map, mark_points, paint_object
from flsl_mm.visualization.pca import ColorBasis, color_basis, pca_rgb
from flsl_mm.visualization.sheet import Panel, Row
from flsl_mm.visualization.similarity import aggregated_similarity, cluster_centers, similarity_map

LEGEND = {
    'clusters': 'Patches (small squares of the image) whose features are alike, grouped by mean shift, are tinted in '
    'one color; the largest group is gray. A higher scale makes more and smaller groups. Good features give groups '
    'that follow the objects; colors of two images do not correspond.',
    'colors': 'The features, hundreds of numbers for each patch, reduced to the three directions in which they differ '
    'most (PCA) and shown as red, green and blue. Within a row name the same directions serve all images of this page: '
    'alike colors mean alike features, also between images, but not between two models.',
    'similarity': 'Yellow patches are like the patch in the red ring, dark blue ones are unlike it. The numbers are '
    'the lowest and highest cosine similarity of the map, 1 for the same direction. Good features light up the object '
    'that the ring is on, and nothing else.',
    'layers': 'How alike each patch is to all others of the image on average (aggregated similarity), block by block: '
    'the larger the region of alike patches, the brighter. Where clusters have formed, the map falls into flat '
    'regions. The numbers are its lowest and highest value.',
    'object': 'The one object that stands out by its features (TokenCut: the graph of alike patches, cut in two), with '
    'its box. The rest is darkened. Where nothing stands out, the box is the whole image.',
}
"""Kinds of sheets, and how each is read."""

TITLES = {
    'clusters': 'Clusters at several scales',
    'colors': 'Features as colors',
    'similarity': 'Similarity to points',
    'layers': 'Aggregated similarity after each block',
    'object': 'The object that stands out',
}

PANELS_ACROSS = {'clusters': 3, 'similarity': 4, 'layers': 4}
"""Panels side by side in a sheet; of other kinds one."""

SHEET_WIDTH = 600
"""Width in pixels that these share."""

PANEL_SIDE = 280
"""Longer side in pixels of a panel that is alone."""

POINTS = 4
"""Clusters whose centers are points, where no points are given."""


@dataclass
class View:
    """What a model sees in an image.

    Attributes:
        model: The model.
        layers: Features (h, w, C) of each block, the last of them normed.
        copied: Features (h, w, C) of the moved copy, at the image's places.
        basis: Colors of its features.
        clusters: Cluster ids (h, w) by scale.
    """

    model: FeatureExtractor
    layers: list[Tensor]
    copied: Tensor
    basis: ColorBasis | None
    clusters: dict[float, Tensor] = field(default_factory=dict)

    @property
    def features(self) -> Tensor:
        """Features (h, w, C) of the last block."""
        return self.layers[-1]

    @cached_property
    def object_mask(self) -> Tensor:
        """Patches (h, w) of the object that stands out."""
        return discover_object(self.features.float().cpu())

    def clusters_at(self, scale: float) -> Tensor:
        """Return the clusters at a scale, computed once."""
        if scale not in self.clusters:
            self.clusters[scale] = mean_shift_clusters(self.features, scale).cpu()
        return self.clusters[scale]


def compute_view(
    model: FeatureExtractor, image: Tensor, long_side: int | None, basis: ColorBasis | None = None
) -> View:
    """Compute a view of an image (3, H, W), resized as :func:`resized` says."""
    pixels = resized(image, long_side, model.patch_size)
    both = torch.stack([pixels, moved_copy(pixels, model.patch_size)])
    layers = model.features(model.normalize(both), layers=range(model.spec.depth))
    return View(model, [of_layer[0] for of_layer in layers], moved_back(layers[-1][1]), basis)


def resized(image: Tensor, long_side: int | None, patch_size: int) -> Tensor:
    """Bring an image to whole patches, its longer side at most about ``long_side`` pixels, or 32 patches with None.

    Args:
        image: uint8 or float 0 to 1 (3, H, W).
        long_side: Greatest length of the longer side in pixels; small images keep their size.
        patch_size: Side of a patch in pixels.

    Returns:
        RGB (3, H, W), float32, 0 to 1.
    """
    scale = min(1.0, (long_side or 32 * patch_size) / max(image.shape[1:]))
    height, width = (max(1, round(side * scale / patch_size)) * patch_size for side in image.shape[1:])
    return image_tensor(image, (height, width))


def sample_bases(
    models: Sequence[FeatureExtractor], images: Iterable[Tensor], long_side: int | None, patches: int = 512
) -> list[ColorBasis | None]:
    """Find colors for each model from some patches of images, drawn at equal distances.

    Args:
        models: The models.
        images: Images (3, H, W); may be a generator, of which one at a time is kept.
        long_side: As of :func:`resized`.
        patches: Patches of each image, at most.

    Returns:
        A basis for each model; None where there is no image.
    """
    drawn: list[list[Tensor]] = [[] for _ in models]
    for image in images:
        for model, features in zip(models, drawn, strict=True):
            pixels = model.normalize(resized(image, long_side, model.patch_size))
            tokens = model.features(pixels[None])[0].flatten(0, 1).cpu()
            features.append(tokens[torch.linspace(0, len(tokens) - 1, min(patches, len(tokens))).long()])
    return [color_basis(torch.cat(features)) if features else None for features in drawn]


def sheet_rows(
    kind: str, image: Tensor, view: View, scales: Sequence[float], points: Sequence[tuple[float, float]]
) -> list[Row]:
    """Make the sheet of one model: rows of panels.

    Args:
        kind: Key of :data:`LEGEND`.
        image: The image, uint8 (3, H, W).
        view: View of it.
        scales: Scales of the mean shift.
        points: Across and down, in parts of the width and height.
    """
    across = PANELS_ACROSS.get(kind, 1)
    thumbnail = panel_image(image, SHEET_WIDTH // across if across > 1 else PANEL_SIDE)
    draw: Callable[[], list[Panel]] = {
        'clusters': lambda: _clusters(thumbnail, view, scales),
        'colors': lambda: [_colors(thumbnail, view)],
        'similarity': lambda: _similarities(thumbnail, view, points),
        'layers': lambda: _layers(thumbnail, view),
        'object': lambda: [_object(thumbnail, view)],
    }[kind]
    panels = draw()
    return [Row('', panels[start : start + across]) for start in range(0, len(panels), across)]


def panel_image(image: Tensor, long_side: int) -> np.ndarray:
    """Bring an image, uint8 (3, H, W), to a longer side of ``long_side`` pixels: (H, W, 3), uint8."""
    scale = long_side / max(image.shape[1:])
    size_hw = [max(1, round(side * scale)) for side in image.shape[1:]]
    return TF.resize(image, size_hw, InterpolationMode.BICUBIC, antialias=True).permute(1, 2, 0).numpy()


def central_points(view: View, scales: Sequence[float]) -> list[tuple[float, float]]:
    """Return the patches that stand for the largest clusters, across and down in parts of the width and height.

    The clusters are those of the lowest scale that has :data:`POINTS`, or of the highest.
    """
    for labels in (view.clusters_at(scale) for scale in sorted(scales)):
        if int(labels.max()) + 1 >= POINTS:
            break
    h, w = labels.shape
    centers = cluster_centers(view.features.cpu(), labels)[:POINTS]
    return [((column + 0.5) / w, (row + 0.5) / h) for row, column in centers]


def _clusters(thumbnail: np.ndarray, view: View, scales: Sequence[float]) -> list[Panel]:
    panels = []
    for scale in scales:
        labels = view.clusters_at(scale)
        count = int(labels.max()) + 1
        title = f'scale {scale:g}: {count} cluster{"s" * (count > 1)}'
        panels.append(Panel(title, paint_clusters(thumbnail, labels.numpy())))
    return panels


def _colors(thumbnail: np.ndarray, view: View) -> Panel:
    return Panel('', color_map(pca_rgb(view.features, view.basis).cpu().numpy(), thumbnail.shape[:2]))


def _similarities(thumbnail: np.ndarray, view: View, points: Sequence[tuple[float, float]]) -> list[Panel]:
    h, w, _ = view.features.shape
    panels = []
    for across, down in points:
        patch = min(h - 1, int(down * h)), min(w - 1, int(across * w))
        title, drawn = _heat(similarity_map(view.features, patch), thumbnail.shape[:2])
        panels.append(Panel(title, mark_points(drawn, [(across, down)])))
    return panels


def _layers(thumbnail: np.ndarray, view: View) -> list[Panel]:
    panels = []
    for number, features in enumerate(view.layers, start=1):
        title, drawn = _heat(aggregated_similarity(features), thumbnail.shape[:2])
        panels.append(Panel(f'block {number}: {title}', drawn))
    return panels


def _heat(values: Tensor, size_hw: tuple[int, int]) -> tuple[str, np.ndarray]:
    """Draw a heat map, and say what its darkest and brightest patches are."""
    values = values.cpu().numpy()
    return f'{values.min():.2f} to {values.max():.2f}', heat_map(values, size_hw)


def _object(thumbnail: np.ndarray, view: View) -> Panel:
    mask = view.object_mask
    box = patch_box(mask, 1, tuple(mask.shape)).tolist()
    return Panel('', paint_object(thumbnail, mask.numpy(), box))
