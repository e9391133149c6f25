"""Nearest neighbors of an image among embedded ones, and a sheet that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from flsl_mm.datasets.decode import read_image
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.visualization.sheet import Panel, Row, write_sheet

from .table import Embeddings

CELL = 180
"""Side of an image on the sheet in pixels."""

QUERY_COLOR = (200, 60, 20)


def nearest(
    embeddings: Embeddings, query: np.ndarray, k: int, without: Path | None = None, chunk: int = 65536
) -> list[tuple[int, float]]:
    """Find the images whose mean tokens have the greatest cosine similarity to a query's.

    Args:
        embeddings: The images.
        query: Mean token (C,).
        k: Number of neighbors; all images where there are fewer.
        without: Path of an image that is left out: the query itself.
        chunk: Number of images compared at once.

    Returns:
        Index and cosine of each, the most similar first.
    """
    query = query / max(np.linalg.norm(query), 1e-12)
    cosines = np.empty(len(embeddings.mean), np.float32)
    for start in range(0, len(cosines), chunk):
        part = np.asarray(embeddings.mean[start : start + chunk])
        cosines[start : start + chunk] = part @ query / np.maximum(np.linalg.norm(part, axis=1), 1e-12)
    own = None if without is None else _index_of(embeddings, without)
    order = (int(index) for index in np.argsort(-cosines, kind='stable')[: k + 1] if index != own)
    return [(index, float(cosines[index])) for index in order][:k]


def _index_of(embeddings: Embeddings, path: Path) -> int | None:
    """Return the index of an image file among the embedded ones, None if it is not there."""
    try:
        name = path.resolve().relative_to(Path(embeddings.folder).resolve()).as_posix()
        return embeddings.paths.index(name)
    except ValueError:
        return None


def draw_neighbors(
    embeddings: Embeddings, found: Sequence[tuple[Path, Sequence[tuple[int, float]]]], title: str, path: Path
) -> None:
    """Write a sheet: a row for each query, which stands first, and its neighbors with their cosines.

    Args:
        embeddings: The images.
        found: Path of each query, and what :func:`nearest` found for it.
        title: Line above.
        path: PNG file to write; its folder must exist.
    """
    rows = []
    for query, neighbors in found:
        panels = [Panel(f'query\n{query.name}', np.array(ImageOps.expand(_thumbnail(query, 6), 3, QUERY_COLOR)))]
        for rank, (index, cosine) in enumerate(neighbors, start=1):
            name = embeddings.paths[index]
            panels.append(
                Panel(f'{rank}. cosine {cosine:.3f}\n{name}', np.array(_thumbnail(Path(embeddings.folder) / name)))
            )
        rows.append(Row('', panels))
    write_sheet(path, rows, title)


def _thumbnail(path: Path, margin: int = 0) -> Image.Image:
    """Return an image in a square cell; a word in its place if it cannot be read any more."""
    side = CELL - margin
    try:
        return ImageOps.pad(read_image(path), (side, side), color='white')
    except ImageError:
        cell = Image.new('RGB', (side, side), (225, 225, 225))
        font = ImageFont.load_default(13)
        ImageDraw.Draw(cell).text((side / 2, side / 2), 'unreadable now', fill='black', font=font, anchor='mm')
        return cell
