"""Labelled sheets of images: titled panels side by side in named rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flsl_mm.utils.fileio import atomic_writer, printable

GAP = 8
LINE_HEIGHT = 18
NAME_HEIGHT = 26
MIN_WIDTH = 120
"""Width of a column in pixels where panels are narrow, for their titles."""
GRAY = (70, 70, 70)


class Panel(NamedTuple):
    """An image (H, W, 3), uint8, and the lines above it; none where the title is empty."""

    title: str
    image: np.ndarray


class Row(NamedTuple):
    """Panels side by side, and the name above them, if it has one."""

    name: str
    panels: Sequence[Panel]

    @property
    def title_height(self) -> int:
        """Height of the lines above the panels in pixels."""
        return LINE_HEIGHT * max(len(panel.title.splitlines()) for panel in self.panels)

    @property
    def height(self) -> int:
        """Height of the row in pixels, with the gap below it."""
        images = max(panel.image.shape[0] for panel in self.panels)
        return (NAME_HEIGHT if self.name else 0) + self.title_height + images + GAP


def draw_sheet(rows: Sequence[Row], heading: str = '', legend: Sequence[tuple[str, tuple]] = ()) -> Image.Image:
    """Draw rows of panels; text too long for its place is shortened in its middle.

    Args:
        rows: One row or more, of one panel or more.
        heading: Line above the sheet.
        legend: Names and colors, 0 to 255, in a line above the rows.

    Returns:
        The sheet.
    """
    column_width = max(MIN_WIDTH, *(panel.image.shape[1] for row in rows for panel in row.panels))
    width = GAP + max(len(row.panels) for row in rows) * (column_width + GAP)
    top = NAME_HEIGHT * (bool(heading) + bool(legend))
    sheet = Image.new('RGB', (width, GAP + top + sum(row.height for row in rows)), 'white')
    draw = ImageDraw.Draw(sheet)
    _write(draw, (GAP, NAME_HEIGHT / 2), heading, width - 2 * GAP, 15)
    _draw_legend(draw, legend, top - NAME_HEIGHT / 2)
    for row in rows:
        _write(draw, (GAP, top + NAME_HEIGHT / 2 + 2), row.name, width - 2 * GAP, 15)
        titles = top + (NAME_HEIGHT if row.name else 0)
        for column, panel in enumerate(row.panels):
            left = GAP + column * (column_width + GAP)
            for number, line in enumerate(panel.title.splitlines()):
                _write(draw, (left, titles + (number + 0.5) * LINE_HEIGHT), line, column_width, 12, GRAY)
            sheet.paste(Image.fromarray(panel.image), (left, titles + row.title_height))
        top += row.height
    return sheet


def write_sheet(path: Path, rows: Sequence[Row], heading: str = '') -> tuple[int, int]:
    """Write the sheet of :func:`draw_sheet` as a PNG file, whose folder must exist; returns its width and height."""
    sheet = draw_sheet(rows, heading)
    with atomic_writer(path, flush=False) as file:
        sheet.save(file, format='PNG')
    return sheet.size


def _draw_legend(draw: ImageDraw.ImageDraw, legend: Sequence[tuple[str, tuple]], middle: float) -> None:
    left = GAP
    for name, color in legend:
        draw.rectangle((left, middle - 6, left + 12, middle + 6), fill=color)
        _write(draw, (left + 18, middle), name, 10_000, 12)
        left += 36 + int(draw.textlength(name, font=_font(12)))


def _write(
    draw: ImageDraw.ImageDraw, left_middle: tuple[float, float], text: str, width: int, size: int, color='black'
) -> None:
    text = shortened(printable(text), _font(size), width)
    draw.text(left_middle, text, fill=color, font=_font(size), anchor='lm')


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Take letters out of the middle of a text until it is at most ``width`` pixels wide, with an ellipsis instead."""
    kept = len(text)
    shown = text
    while kept > 1 and font.getlength(shown) > width:
        kept -= 1
        shown = f'{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}'
    return shown
