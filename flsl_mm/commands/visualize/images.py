"""Draw the sheets of many images and their page, one image in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from flsl_mm.datasets.decode import read_image
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.evaluation.probes.images import sample
from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import progress
from flsl_mm.visualization.page import PageSection, is_own_page, write_page
from flsl_mm.visualization.pca import ColorBasis

from ..names import safe_name
from .figures import (
    EXPLANATION,
    MEASURED,
    measure_references,
    measure_view,
    place_warning,
    reference_sources,
    summary_table,
)
from .section import Settings, draw_section
from .view import LEGEND, TITLES, compute_view, sample_bases

PAGE = 'index.html'

BASIS_IMAGES = 64
"""Images from which the colors are found, drawn from all of them."""


DEFAULTS = Settings()

CLICKABLE = 64
"""Images whose features are in the page, about 70 kB each; of others the similarities to some points are drawn."""


def prepare_folder(folder: Path) -> None:
    """Make the folder for the page, and make sure that it can be written.

    Raises:
        FileExistsError: If it is a file, or holds a page that somebody else wrote.
        OSError: If it cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f'{folder} is a file: name a folder with --out')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(f'the output folder {printable(folder)} cannot be written: {error.strerror}') from None
    page = folder / PAGE
    if page.exists() and not is_own_page(page):
        raise FileExistsError(f'{page} exists and was not written by this program: name another folder with --out')


def read_pixels(path: Path) -> Tensor:
    """Read an image file, upright, as RGB (3, H, W), uint8."""
    return torch.from_numpy(np.array(read_image(path))).permute(2, 0, 1)


def readable(paths: Sequence[Path], skipped: MutableMapping[str, str], task: str) -> Iterator[tuple[Path, Tensor]]:
    """Read image files one by one with a bar; why one cannot be read is noted."""
    for path in progress(paths, task, 'image'):
        try:
            yield path, read_pixels(path)
        except ImageError as error:
            skipped[str(path)] = error.reason


def draw_images(
    models: Sequence[FeatureExtractor],
    paths: Sequence[Path],
    folder: Path,
    settings: Settings = DEFAULTS,
    facts: Sequence[str] = (),
) -> dict[str, str]:
    """Write the sheets of images and the page, which is written too where the work is interrupted.

    Args:
        models: Models to compare, with different names.
        paths: Image files.
        folder: Where to: ``index.html``, and ``images/NUMBER_NAME.jpg`` and
            ``images/NUMBER_NAME_KIND_MODEL.png``, the models numbered.
        settings: What is drawn.
        facts: Sentences for the head of the page.

    Returns:
        Why an image is not shown, by path.

    Raises:
        ValueError: If no image can be shown.
        OSError: If the folder cannot be written.
    """
    prepare_folder(folder)
    (folder / 'images').mkdir(exist_ok=True)
    skipped: dict[str, str] = {}
    sections: list[PageSection] = []
    measured: list[dict] = []
    references = reference_sources(models[0])
    bases = common_bases(models, paths, settings)
    try:
        for number, (path, pixels) in enumerate(readable(paths, skipped, 'images'), start=1):
            try:
                points = relative_points(settings.points, pixels)
            except ValueError as error:
                skipped[str(path)] = str(error)
                continue
            pairs = zip(models, bases, strict=True)
            views = [compute_view(model, pixels, settings.long_side, basis) for model, basis in pairs]
            figures = {view.model.name: measure_view(view, settings.kinds, settings.scales) for view in views}
            base = folder / 'images' / f'{number:04d}_{safe_name(path.stem)}'
            clickable = len(sections) < CLICKABLE
            section = draw_section(base, path.name, pixels, views, figures, settings, points, clickable)
            sections.append(section)
            measured.append(
                figures | measure_references(references, pixels, settings.kinds, settings.scales, settings.long_side)
            )
    finally:
        if sections:
            legend = {'Figures in a moved copy': EXPLANATION} if set(MEASURED) & set(settings.kinds) else {}
            legend |= {TITLES[kind]: LEGEND[kind] for kind in settings.kinds}
            facts = [*facts, *place_warning(measured, models[0].name)]
            title = f'What {models[0].name} sees'
            write_page(folder / PAGE, title, facts, legend, sections, skipped, summary_table(measured))
    if not sections:
        path, reason = next(iter(skipped.items()))
        raise ValueError(f'none of the {len(paths)} images can be shown, {printable(path)} for one: {reason}')
    return skipped


def common_bases(
    models: Sequence[FeatureExtractor], paths: Sequence[Path], settings: Settings
) -> list[ColorBasis | None]:
    """Find each model's colors from a sample of the images; None for each where colors are not drawn."""
    if 'colors' not in settings.kinds:
        return [None] * len(models)
    drawn = readable(sample(paths, BASIS_IMAGES, seed=0), {}, 'choosing colors')
    return sample_bases(models, (pixels for _, pixels in drawn), settings.long_side)


def relative_points(points: Sequence[tuple[int, int]], pixels: Tensor) -> list[tuple[float, float]]:
    """Turn points in pixels into parts of the width and height.

    Raises:
        ValueError: If one is outside the image (3, H, W).
    """
    height, width = pixels.shape[1:]
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f'the point {x},{y} is outside the image of {width}x{height} pixels')
    return [((x + 0.5) / width, (y + 0.5) / height) for x, y in points]
