"""Sheets: panels in their places, titles that fit."""

import re

import numpy as np
import pytest
from PIL import Image, ImageFont

from flsl_mm.visualization.sheet import (
    GAP,
    LINE_HEIGHT,
    MIN_WIDTH,
    NAME_HEIGHT,
    Panel,
    Row,
    draw_sheet,
    shortened,
    write_sheet,
)


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
    column, top = GAP + max(width, MIN_WIDTH), NAME_HEIGHT + LINE_HEIGHT
    below = top + 30 + GAP
    for y, x, value in ((top, GAP, 10), (top, GAP + column, 20), (below + top, GAP, 30)):
        assert (sheet[y : y + 30, x : x + width] == value).all()
        assert (sheet[y - LINE_HEIGHT : y, x : x + 100] < 200).any()  # a title
    assert (sheet[below + top :, GAP + column :] == 255).all()  # the second row has one panel
    for y in (0, below):
        assert (sheet[y : y + NAME_HEIGHT, :60] < 100).any()


def test_a_long_title_ends_with_its_column(tmp_path):
    rows = [Row('', [Panel('x' * 100, gray(255)), Panel('', gray(255))])]
    write_sheet(tmp_path / 'a.png', rows)
    sheet = np.array(Image.open(tmp_path / 'a.png'))
    columns = np.flatnonzero((sheet < 200).any(axis=(0, 2)))
    assert 100 < columns.max() <= GAP + 150
    # A long text keeps both ends.
    font, name = ImageFont.load_default(12), 'folder/' * 20 + 'image_0001.jpg'
    shown = shortened(name, font, 150)
    assert re.fullmatch('folder/.*….*0001.jpg', shown)
    assert font.getlength(shown) <= 150
    assert shortened('short', font, 150) == 'short'


def test_heading_and_legend_stand_above_rows_without_names():
    plain = np.array(draw_sheet([Row('', [Panel('', gray(10))])]))
    assert plain.shape == (GAP + 30 + GAP, 2 * GAP + 150, 3)
    assert (plain[:30, GAP : GAP + 150] == 10).all()
    sheet = np.array(draw_sheet([Row('', [Panel('', gray(10))])], 'a heading', [('cars', (1, 200, 3))]))
    assert len(sheet) == len(plain) + 2 * NAME_HEIGHT
    assert (sheet[:NAME_HEIGHT] < 100).all(-1).any()
    assert (sheet[NAME_HEIGHT : 2 * NAME_HEIGHT] == (1, 200, 3)).all(-1).sum() == 13 * 13
    assert (sheet[2 * NAME_HEIGHT : -2 * GAP, GAP : GAP + 150] == 10).all()


def test_titles_of_two_lines_and_panels_of_two_heights():
    sheet = np.array(draw_sheet([Row('', [Panel('one\ntwo', gray(10)), Panel('one', gray(20, height=50))])]))
    top = 2 * LINE_HEIGHT
    assert (sheet[top : top + 30, GAP : GAP + 150] == 10).all()
    assert (sheet[top : top + 50, 2 * GAP + 150 : 2 * GAP + 300] == 20).all()
    assert (sheet[LINE_HEIGHT:top, : GAP + 150] < 200).any()
    assert not (sheet[LINE_HEIGHT:top, 2 * GAP + 150 :] < 200).any()
