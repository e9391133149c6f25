"""Figure of generated scenes: what the teacher's features make of them before and after training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flsl_mm.visualization.clusters import mean_shift_clusters
from flsl_mm.visualization.paint_clusters import outline_clusters, paint_clusters
from flsl_mm.visualization.panels import heat_map, mark_points
from flsl_mm.visualization.sheet import Panel, Row, write_sheet
from flsl_mm.visualization.similarity import similarity_map

from ..features import image_tensor
from .images import feature_maps
from .scenes import ScenesProbe
from .sources import FeatureSource

SHOWN_SCALE = 2
"""Whole factor by which scenes are enlarged."""
HEADING = (
    'Yellow: features like those in the red ring; a good map lights up that object alone. Tinted and outlined: one '
    'cluster of alike features; good clusters are objects, and gray, the largest, is background'
)


def scene_views(scenes: ScenesProbe, source: FeatureSource, count: int, scale: float) -> list[dict[str, list]]:
    """Find the clusters of the first scenes and the similarity to a point, as nested lists (they go into checkpoints).

    Args:
        scenes: The scenes.
        source: Whose features.
        count: Number of scenes.
        scale: Multiplies the cosine similarities in the mean shift that finds the clusters.

    Returns:
        ``clusters`` and ``similarity`` (h, w) of each scene.
    """
    points = shown_patches(scenes, source.patch_size, count)
    maps = feature_maps(source, scenes.images[:count], image_tensor, {})
    return [
        dict(
            clusters=mean_shift_clusters(features.cpu(), scale).tolist(),
            similarity=similarity_map(features.cpu(), point).tolist(),
        )
        for (_, features), point in zip(maps, points, strict=True)
    ]


def shown_patches(scenes: ScenesProbe, patch_size: int, count: int) -> list[tuple[int, int]]:
    """Choose a patch (row, column) of each scene's largest object: the one nearest to the middle of its patches."""
    owners, _ = scenes.patches(patch_size)
    points = []
    for owner in owners[:count].numpy():
        sizes = np.bincount(owner[owner > 0], minlength=2)
        patches = np.argwhere(owner == sizes.argmax()) if sizes.any() else np.argwhere(owner == owner)
        nearest = ((patches - patches.mean(0)) ** 2).sum(1).argmin()
        points.append(tuple(patches[nearest].tolist()))
    return points


def draw_before_after(path: Path, scenes: ScenesProbe, patch_size: int, before: list[dict], after: list[dict]) -> None:
    """Write the figure: scenes, their objects, similarity to a point and clusters before and after training."""
    rows = []
    points = shown_patches(scenes, patch_size, len(before))
    for number, (row, column) in enumerate(points):
        pixels = scenes.images[number].permute(1, 2, 0).numpy().repeat(SHOWN_SCALE, 0).repeat(SHOWN_SCALE, 1)
        grid = np.array(before[number]['clusters'])
        ring = [((column + 0.5) / grid.shape[1], (row + 0.5) / grid.shape[0])]
        panels = [
            Panel('scene', mark_points(pixels, ring)),
            Panel('its objects', _tinted(pixels, scenes.instances[number].numpy())),
        ]
        for moment, views in (('before', before), ('after', after)):
            view = views[number]
            heat = heat_map(np.array(view['similarity']), pixels.shape[:2])
            panels.append(Panel(f'similarity to the ring {moment}', mark_points(heat, ring)))
        for moment, views in (('before', before), ('after', after)):
            panels.append(Panel(f'clusters {moment}', _tinted(pixels, np.array(views[number]['clusters']))))
        rows.append(Row('', panels))
    write_sheet(path, rows, HEADING)


def _tinted(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return outline_clusters(paint_clusters(pixels, labels, opacity=0.45), labels)
