"""Sheets: panels in their places, titles that fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from flsl_mm.visualization.sheet import GAP, LEAST_WIDTH, NAME_HEIGHT, TITLE_HEIGHT, Panel, Row, write_sheet


def gray(value: int, height: int = 30, width: int = 150) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize('width', [150, 5])
def test_panels_are_below_their_names_and_titles(tmp_path, width):
    rows = [
        Row('first', [Panel('a', gray(10, width=width)), Panel('b', gray(20, width=width))]),
        Row('second', [Panel('c', gray(30, width=width))]),
    ]
    size = write_sheet(tmp_path / 'a.png', rows)
    sheet = np.array(Image.open(tmp_path / 'a.png'))
    assert sheet.shape == (size[1], size[0], 3)
    column, top = GAP + max(width, LEAST_WIDTH), NAME_HEIGHT + TITLE_HEIGHT
    below = top + 30 + GAP
    for y, x, value in ((top, GAP, 10), (top, GAP + column, 20), (below + top, GAP, 30)):
        assert (sheet[y : y + 30, x : x + width] == value).all()
        assert (sheet[y - TITLE_HEIGHT : y, x : x + 100] < 200).any()  # a title
    assert (sheet[below + top :, GAP + column :] == 255).all()  # the second row has one panel
    for y in (0, below):
        assert (sheet[y : y + NAME_HEIGHT, :60] < 100).any()


def test_a_long_title_ends_with_its_column(tmp_path):
    rows = [Row('', [Panel('x' * 100, gray(255)), Panel('', gray(255))])]
    write_sheet(tmp_path / 'a.png', rows)
    sheet = np.array(Image.open(tmp_path / 'a.png'))
    columns = np.flatnonzero((sheet < 200).any(axis=(0, 2)))
    assert 100 < columns.max() <= GAP + 150
