"""Sheets: titled panels side by side, a named row for each model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flsl_mm.utils.fileio import atomic_writer

GAP = 8
TITLE_HEIGHT = 20
NAME_HEIGHT = 26
LEAST_WIDTH = 120
"""Width of a column in pixels where panels are narrow, for their titles."""


class Panel(NamedTuple):
    """An image (H, W, 3), uint8, and the line above it."""

    title: str
    image: np.ndarray


class Row(NamedTuple):
    """Panels side by side, and the name above them."""

    name: str
    panels: Sequence[Panel]


def write_sheet(path: Path, rows: Sequence[Row]) -> tuple[int, int]:
    """Write rows of panels as a PNG file; its folder must exist.

    Args:
        path: The file.
        rows: Rows of panels of one size; titles too long for a column are cut.

    Returns:
        Width and height of the file in pixels.
    """
    height, width = rows[0].panels[0].image.shape[:2]
    row_height = NAME_HEIGHT + TITLE_HEIGHT + height + GAP
    column_width = max(width, LEAST_WIDTH)
    columns = max(len(row.panels) for row in rows)
    sheet = Image.new('RGB', (GAP + columns * (column_width + GAP), len(rows) * row_height + GAP), 'white')
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = number * row_height
        draw.text((GAP, top + NAME_HEIGHT / 2 + 2), row.name, fill='black', font=_font(15), anchor='lm')
        for column, panel in enumerate(row.panels):
            left = GAP + column * (column_width + GAP)
            middle = top + NAME_HEIGHT + TITLE_HEIGHT / 2
            title = _fitting(panel.title, column_width)
            draw.text((left, middle), title, fill=(70, 70, 70), font=_font(12), anchor='lm')
            sheet.paste(Image.fromarray(panel.image), (left, top + NAME_HEIGHT + TITLE_HEIGHT))
    with atomic_writer(path, flush=False) as file:
        sheet.save(file, format='PNG')
    return sheet.size


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitting(title: str, width: int) -> str:
    """Cut a title at its end until it is at most ``width`` pixels wide."""
    while title and _font(12).getlength(title) > width:
        title = title[:-1]
    return title
