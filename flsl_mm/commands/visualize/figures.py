"""What is measured of each image without labels, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.evaluation.moved_copy import (
    clusters_found_again,
    color_correlation,
    moved_back,
    moved_copy,
    same_patch_rank,
)
from flsl_mm.evaluation.probes.sources import FeatureSource, MeanColor, PositionAlone
from flsl_mm.visualization.clusters import mean_shift_clusters
from flsl_mm.visualization.pca import ColorBasis, pca_rgb
from flsl_mm.visualization.similarity import aggregated_similarity

from .view import View, resized

LOOK = {
    'clusters': 'Look for groups that follow the objects.',
    'colors': 'Look for one color on one kind of thing, also from image to image.',
    'similarity': 'Click a patch (or use the arrow keys), and look for its object lighting up and nothing else.',
    'layers': 'Look for flat regions that appear towards the last block.',
    'object': 'Look for a box round one object.',
}
"""What to look for in each kind of image."""

MEASURED = {
    'clusters': 'clusters found again',
    'colors': 'colors kept',
    'similarity': 'patches found again',
}
"""Figures of which more is better, by kind; position alone gets no more than chance."""

CHANCE = {'clusters': 0.0, 'colors': 0.0, 'similarity': 0.5}
"""What features that know nothing get."""

MARGIN = 0.05
"""Difference from which one of two figures of an image is called better."""

EXPLANATION = (
    'Each image is compared with a copy that has its quarters exchanged and its colors altered. Features that follow '
    'what is shown are found again there; features that follow the place are not, so position alone gets no more than '
    'chance. Clusters: agreement beyond chance (kappa, at the middle scale) of the clusters that patches fall into. '
    'Colors: their correlation. Patches: share of the copy that is less like a patch than that patch itself. A high '
    'figure says stable, not useful: mean color has one, too.'
)

Figures = Mapping[str, float]
"""Figures by kind."""


def measure(features: Tensor, copied: Tensor, scales: Sequence[float], labels: Tensor | None = None) -> dict:
    """Measure what :data:`MEASURED` lists, but for the colors, of features and their moved copy (h, w, C)."""
    if labels is None:
        labels = mean_shift_clusters(features, middle(scales))
    return dict(clusters=clusters_found_again(features, copied, labels), similarity=same_patch_rank(features, copied))


def measure_colors(features: Tensor, copied: Tensor, basis: ColorBasis | None = None) -> float:
    """Measure how well the colors of features are kept in the moved copy; one basis serves both."""
    both = pca_rgb(torch.stack([features, copied]), basis)
    return color_correlation(both[0], both[1])


def measure_view(view: View, kinds: Sequence[str], scales: Sequence[float]) -> dict[str, float]:
    """Measure what a model sees in an image, of the kinds that are drawn."""
    found = measure(view.features, view.copied, scales, view.clusters_at(middle(scales)))
    if 'colors' in kinds:
        found['colors'] = measure_colors(view.features, view.copied, view.basis)
    if 'layers' in kinds:
        found['layers'] = float(aggregated_similarity(view.features).mean())
    if 'object' in kinds:
        found['object'] = float(view.object_mask.float().mean())
    return {kind: found[kind] for kind in kinds}


def reference_sources(model: FeatureExtractor) -> list[FeatureSource]:
    """Return the features that anybody has, for patches of the model's size."""
    return [MeanColor(model.patch_size), PositionAlone(model.spec)]


def measure_references(
    sources: Sequence[FeatureSource],
    image: Tensor,
    kinds: Sequence[str],
    scales: Sequence[float],
    long_side: int | None,
) -> dict[str, Figures]:
    """Measure the features that anybody has on an image (3, H, W)."""
    found = {}
    for source in sources:
        pixels = resized(image, long_side, source.patch_size)
        features, copied = source(torch.stack([pixels, moved_copy(pixels, source.patch_size)]))
        copied = moved_back(copied)
        figures = measure(features, copied, scales) | dict(colors=measure_colors(features, copied))
        found[source.name] = {kind: figures[kind] for kind in MEASURED if kind in kinds}
    return found


def middle(scales: Sequence[float]) -> float:
    """Return the scale that is measured at."""
    return sorted(scales)[len(scales) // 2]


def sentence(kind: str, figures: Mapping[str, Figures]) -> str:
    """Say what to look for in one kind of image, and what was measured of each model."""
    values = {name: of_model[kind] for name, of_model in figures.items()}
    if kind == 'layers':
        listed = ', '.join(f'{name} {value:.2f}' for name, value in values.items())
        return f'{LOOK[kind]} Mean after the last block: {listed}; neither is better for it.'
    if kind == 'object':
        listed = ', '.join(f'{name} {value:.0%}' for name, value in values.items())
        return f'{LOOK[kind]} Share of the image: {listed}; neither is better for it.'
    listed = ', '.join(f'{name} {text(kind, value)}' for name, value in values.items())
    beside = f'{listed}, chance {text(kind, CHANCE[kind])}'
    return f'{LOOK[kind]} In a moved copy, {MEASURED[kind]}: {beside}. {verdict(kind, values)}'


def verdict(kind: str, values: Mapping[str, float]) -> str:
    """Name the model that does better by a figure, if one does and it is better than chance."""
    best, *others = sorted(values, key=values.get, reverse=True)
    if values[best] < CHANCE[kind] + MARGIN:
        return f'{"Neither is" if others else "It is not"} better than chance.'
    if not others:
        return 'Better than chance.'
    return f'Better: {best}.' if values[best] - values[others[0]] >= MARGIN else 'No clear difference.'


def text(kind: str, value: float) -> str:
    """Write a figure."""
    return f'{value:.0%}' if kind == 'similarity' else f'{value:.2f}'


def averages(measured: Sequence[Mapping[str, Figures]]) -> dict[str, dict[str, float]]:
    """Average figures over images, by kind and model."""
    kinds = [kind for kind in MEASURED if kind in next(iter(measured[0].values()))]
    return {
        kind: {name: sum(of_image[name][kind] for of_image in measured) / len(measured) for name in measured[0]}
        for kind in kinds
    }


def summary_table(measured: Sequence[Mapping[str, Figures]]) -> list[list[str]]:
    """Lay out the figures' averages over the images; no row where no kind has any."""
    rows = [
        [MEASURED[kind], *(text(kind, value) for value in values.values()), text(kind, CHANCE[kind])]
        for kind, values in averages(measured).items()
    ]
    count = f'mean of {len(measured)} image{"s" * (len(measured) > 1)}'
    return [[count, *measured[0], 'chance'], *rows] if rows else []


def place_warning(measured: Sequence[Mapping[str, Figures]], model: str) -> list[str]:
    """Say so where ``model`` follows the place rather than what is shown."""
    if averages(measured).get('similarity', {}).get(model, 1.0) >= CHANCE['similarity'] - MARGIN:
        return []
    return [f'{model} is below chance: its features follow the place in the image more than what is there.']
