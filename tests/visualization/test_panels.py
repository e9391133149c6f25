"""Panels show the right values in the right places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.visualization.paint_clusters import enlarged
from flsl_mm.visualization.panels import RED, color_map, heat_map, mark_points, paint_object


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 9), w=st.integers(1, 9), height=st.integers(1, 40), width=st.integers(1, 40))
def test_every_pixel_has_the_value_of_the_patch_that_it_lies_in(h, w, height, width):
    patches = np.arange(h * w).reshape(h, w)
    pixels = enlarged(patches, (height, width))
    assert pixels.shape == (height, width)
    for y, x in ((0, 0), (height // 2, width // 3), (height - 1, width - 1)):
        assert pixels[y, x] == patches[y * h // height, x * w // width]


def test_heat_goes_from_dark_blue_to_yellow():
    drawn = heat_map(np.array([[-0.2, 0.1], [0.4, 0.1]]), (4, 6))
    assert drawn.shape == (4, 6, 3)
    assert drawn[0, 0].tolist() == [68, 1, 84]
    assert drawn[3, 0].tolist() == [253, 231, 37]
    assert (drawn[0, 5] == drawn[3, 5]).all()
    dark, middle, light = (drawn[place].astype(int).sum() for place in ((0, 0), (0, 5), (3, 0)))
    assert dark < middle < light
    assert (heat_map(np.full((2, 2), 0.3), (4, 4)) == [68, 1, 84]).all()  # equal values are drawn


def test_colors_are_those_of_the_patches():
    drawn = color_map(np.array([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]]]), (2, 4))
    assert drawn[:, :2].reshape(-1, 3).tolist() == [[0, 128, 255]] * 4
    assert drawn[:, 2:].reshape(-1, 3).tolist() == [[255, 0, 0]] * 4


@pytest.mark.parametrize('point', [(0.25, 0.75), (0.5, 0.5)])
def test_the_ring_is_round_its_point(point):
    image = np.zeros((100, 200, 3), np.uint8)
    marked = mark_points(image, [point])
    rows, columns = np.nonzero((marked == RED).all(-1))
    assert len(rows) > 10
    assert abs(columns.mean() - point[0] * 200) < 1
    assert abs(rows.mean() - point[1] * 100) < 1
    assert (marked[round(point[1] * 100), round(point[0] * 200)] == 0).all()  # what is inside stays to be seen
    assert not image.any()


def test_the_object_stays_bright_inside_its_box():
    image = np.full((40, 80, 3), 200, np.uint8)
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2:5] = True
    painted = paint_object(image, mask, (2, 1, 5, 3))
    assert (painted[15, 25] == 200).all()
    assert (painted[5, 5] == 70).all()
    red = (painted == RED).all(-1)
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (10, 30, 20, 50)
