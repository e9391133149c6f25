"""Draw what belongs to one image: its files, and its section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from flsl_mm.utils.fileio import atomic_writer
from flsl_mm.visualization.compact import compact_features
from flsl_mm.visualization.page import Clickable, PageImage, PageRow, PageSection
from flsl_mm.visualization.sheet import write_sheet

from .figures import Figures, sentence
from .view import LEGEND, PANELS_ACROSS, TITLES, View, central_points, panel_image, sheet_rows

IMAGE_SIDE = 640
"""Longer side in pixels of the image on the page."""

TOLD_ERROR = 0.02
"""Error of similarities on the page from which it is said."""


@dataclass(frozen=True)
class Settings:
    """What is drawn of each image.

    Attributes:
        kinds: Keys of :data:`~flsl_mm.commands.visualize.view.LEGEND`.
        scales: Scales of the mean shift.
        points: Across and down in pixels of the image; none: the centers of the largest clusters.
        long_side: As of :func:`~flsl_mm.commands.visualize.view.resized`.
    """

    kinds: Sequence[str] = tuple(LEGEND)
    scales: Sequence[float] = (10.0, 20.0, 40.0)
    points: Sequence[tuple[int, int]] = ()
    long_side: int | None = None


def draw_section(
    base: Path,
    name: str,
    pixels: Tensor,
    views: Sequence[View],
    figures: Mapping[str, Figures],
    settings: Settings,
    points: Sequence[tuple[float, float]] = (),
    clickable: bool = True,
) -> PageSection:
    """Write an image and a sheet of each kind and model, and return its section.

    Args:
        base: How the files begin: ``BASE.jpg``, ``BASE_KIND_NUMBER.png``; their folder must exist.
        name: What the image is called.
        pixels: The image, uint8 (3, H, W).
        views: What each model sees in it; points that are not given are chosen by the first.
        figures: What was measured, by model.
        settings: What is drawn.
        points: Across and down, in parts of the width and height.
        clickable: Whether similarities are shown for any patch; else, and of given points, as a sheet.
    """
    height, width = pixels.shape[1:]
    kinds = list(settings.kinds)
    given = bool(points)
    clicks = None
    if 'similarity' in kinds:
        points = points or central_points(views[0], settings.scales)
        if clickable:
            clicks = _clickable(views, figures, points[0])
        if clickable and not given:
            kinds.remove('similarity')
    rows = []
    for kind in kinds:
        images = []
        for number, view in enumerate(views, start=1):
            path = base.with_name(f'{base.name}_{kind}_{number}.png')
            size = write_sheet(path, sheet_rows(kind, pixels, view, settings.scales, points))
            images.append(PageImage(view.model.name, f'{base.parent.name}/{path.name}', size))
        rows.append(PageRow(TITLES[kind], sentence(kind, figures), images, kind in PANELS_ACROSS))
    return PageSection(f'{name} ({width}x{height} pixels)', _write_image(base, pixels), rows, clicks)


def _write_image(base: Path, pixels: Tensor) -> PageImage:
    image = Image.fromarray(panel_image(pixels, IMAGE_SIDE))
    path = base.with_name(f'{base.name}.jpg')
    with atomic_writer(path, flush=False) as file:
        image.save(file, format='JPEG', quality=90)
    return PageImage('image', f'{base.parent.name}/{path.name}', image.size)


def _clickable(views: Sequence[View], figures: Mapping[str, Figures], point: tuple[float, float]) -> Clickable:
    models = [(view.model.name, compact_features(view.features)) for view in views]
    said = sentence('similarity', figures)
    error = max(features.error for _, features in models)
    if error > TOLD_ERROR:
        said += f' Similarities on this page are off by about {error:.2f}: they are computed from 32 numbers a patch.'
    return Clickable(said, models, point)
