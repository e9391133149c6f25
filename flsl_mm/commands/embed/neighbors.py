"""Nearest neighbors of an image among embedded ones, and a sheet that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from flsl_mm.datasets.decode import read_image
from flsl_mm.utils.fileio import atomic_writer, printable

from .table import Embeddings

CELL, CAPTION, GAP, HEAD = 180, 36, 8, 30
"""Sizes on the sheet in pixels: side of an image, height of its caption, distance, height of the title."""

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
    columns = 1 + max(len(neighbors) for _, neighbors in found)
    width = max(GAP + columns * (CELL + GAP), 640)
    sheet = Image.new('RGB', (width, HEAD + len(found) * (CELL + CAPTION + GAP)), 'white')
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((GAP, HEAD / 2), _fitting(title, font, width - 2 * GAP), fill='black', font=font, anchor='lm')
    for row, (query, neighbors) in enumerate(found):
        folder = Path(embeddings.folder)
        cells = [(query, 'query', query.name)]
        cells += [
            (folder / embeddings.paths[index], f'{rank}. cosine {cosine:.3f}', embeddings.paths[index])
            for rank, (index, cosine) in enumerate(neighbors, start=1)
        ]
        top = HEAD + row * (CELL + CAPTION + GAP)
        for column, (file, *lines) in enumerate(cells):
            left = GAP + column * (CELL + GAP)
            sheet.paste(_thumbnail(file), (left, top))
            color = QUERY_COLOR if column == 0 else 'black'
            if column == 0:
                draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=QUERY_COLOR, width=3)
            for number, line in enumerate(lines):
                text = _fitting(line, font, CELL)
                draw.text((left, top + CELL + 3 + 16 * number), text, fill=color, font=font)
    with atomic_writer(path) as file:
        sheet.save(file, format='PNG')


def _thumbnail(path: Path) -> Image.Image:
    """Return an image in a square cell; a word in its place if it cannot be read any more."""
    try:
        return ImageOps.pad(read_image(path), (CELL, CELL), color='white')
    except Exception:  # as in feature_maps
        cell = Image.new('RGB', (CELL, CELL), (225, 225, 225))
        font = ImageFont.load_default(13)
        ImageDraw.Draw(cell).text((CELL / 2, CELL / 2), 'unreadable now', fill='black', font=font, anchor='mm')
        return cell


def _fitting(text: str, font: ImageFont.ImageFont, width: int) -> str:
    """Shorten a text at its start, where paths are alike, to a width in pixels."""
    text = printable(text)
    while len(text) > 1 and font.getlength(text) > width:
        text = '…' + text[2:]
    return text
