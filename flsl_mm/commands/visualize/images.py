"""Draw the sheets of many images and their page, one image in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from flsl_mm.datasets.decode import read_image
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.evaluation.probes.images import sample
from flsl_mm.utils.fileio import printable
from flsl_mm.visualization.page import PageImage, is_own_page, write_page
from flsl_mm.visualization.pca import ColorBasis
from flsl_mm.visualization.sheet import write_sheet

from ..names import safe_name
from .view import LEGEND, TITLES, compute_view, sample_bases, sheet_rows

PAGE = 'index.html'

BASIS_IMAGES = 64
"""Images from which the colors are found, drawn from all of them."""


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
        trial = folder / '.flsl_mm.partial'
        trial.touch()
        trial.unlink()
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
    for path in tqdm(paths, desc=task, unit='image', disable=None):
        try:
            yield path, read_pixels(path)
        # Pillow's decoders raise errors of many kinds for damaged files.
        except Exception as error:
            skipped[str(path)] = ' '.join(f'{type(error).__name__}: {error}'.split())


def draw_images(
    models: Sequence[FeatureExtractor],
    paths: Sequence[Path],
    folder: Path,
    settings: Settings = Settings(),
    facts: Sequence[str] = (),
) -> dict[str, str]:
    """Write the sheets of images and the page, which is written too where the work is interrupted.

    Args:
        models: Models to compare, with different names.
        paths: Image files.
        folder: Where to: ``index.html``, and ``images/NUMBER_NAME_KIND.png``.
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
    sections: list[tuple[str, list[PageImage]]] = []
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
            shown = []
            for kind in settings.kinds:
                name = f'images/{number:04d}_{safe_name(path.stem)}_{kind}.png'
                rows = sheet_rows(kind, pixels, views, settings.scales, points)
                shown.append(PageImage(TITLES[kind], name, write_sheet(folder / name, rows)))
            sections.append((f'{path.name} ({pixels.shape[2]}x{pixels.shape[1]} pixels)', shown))
    finally:
        if sections:
            legend = {TITLES[kind]: LEGEND[kind] for kind in settings.kinds}
            write_page(folder / PAGE, f'What {models[0].name} sees', facts, legend, sections, skipped)
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
