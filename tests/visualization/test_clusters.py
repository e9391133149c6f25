"""Images have the right pixels in the right places."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from flsl_mm.visualization.clusters import cluster_colors, image_grid, paint_clusters


def test_colors_of_neighboring_clusters_are_far_apart():
    colors = cluster_colors(16).astype(int)
    assert np.ptp(colors[0]) == 0
    assert (np.ptp(colors[1:], axis=1) > 20).all()
    # At 60% opacity a distance of 60 levels is 36 levels on the image.
    distances = np.linalg.norm(colors[:, None] - colors, axis=-1)
    neighbors = np.diagonal(distances, offset=1)
    assert neighbors.min() > 60
    assert distances[np.triu_indices(10, 1)].min() > 40


def test_colors_begin_again_when_there_are_none_left():
    colors = cluster_colors(60)
    assert colors.shape == (60, 3)
    period = next(i for i in range(1, 60) if (colors[i] == colors[0]).all())
    assert period >= 16
    np.testing.assert_array_equal(colors[period:], colors[: 60 - period])


def test_paint_mixes_each_patch_with_its_color():
    labels = np.array([[0, 1], [1, 2]])
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    colors = cluster_colors(3)
    for opacity in (0.0, 0.25, 1.0):
        painted = paint_clusters(image, labels, opacity)
        assert painted.dtype == np.uint8
        for row, column in np.ndindex(2, 2):
            patch = (slice(2 * row, 2 * row + 2), slice(3 * column, 3 * column + 3))
            expected = (1 - opacity) * image[patch] + opacity * colors[labels[row, column]]
            assert np.abs(painted[patch] - expected).max() <= 1


def test_patches_need_not_divide_the_image():
    painted = paint_clusters(np.zeros((5, 7, 3), np.uint8), np.array([[0, 1, 2]]), opacity=1.0)
    assert (painted[:, [0, 2, 3, 4, 5, 6]] == cluster_colors(3)[[0, 0, 1, 1, 2, 2]]).all()


@pytest.mark.parametrize('scale', [1, 3])
def test_grid_places_every_image(tmp_path, scale):
    rows = [[np.full((8, 10, 3), 40 * (2 * row + column), np.uint8) for column in range(2)] for row in range(3)]
    path = image_grid(rows, ('left', 'right'), tmp_path / 'grid.png', scale=scale)
    assert path == tmp_path / 'grid.png'
    grid = np.array(Image.open(path))
    height, width = 8 * scale, 10 * scale
    assert grid.shape == (22 + 6 + 3 * (height + 6), 6 + 2 * (width + 6), 3)
    for row, column in np.ndindex(3, 2):
        top, left = 22 + 6 + row * (height + 6), 6 + column * (width + 6)
        assert (grid[top : top + height, left : left + width] == 40 * (2 * row + column)).all()
        # White all round.
        assert (grid[top + height : top + height + 6, left : left + width] == 255).all()
        assert (grid[top : top + height, left + width : left + width + 6] == 255).all()


def test_grid_has_a_title_above_every_column(tmp_path):
    images = [np.full((16, 40, 3), 255, np.uint8)] * 3
    grid = np.array(Image.open(image_grid([images], ('one', '', 'three'), tmp_path / 'grid.png')))
    dark = (grid < 128).all(axis=2)
    assert not dark[28:].any()
    for column, written in enumerate((True, False, True)):
        above = dark[:28, 6 + 46 * column : 46 + 46 * column]
        assert above.any() == written
        if written:
            columns = np.flatnonzero(above.any(axis=0))
            assert abs((columns[0] + columns[-1]) / 2 - 19.5) < 2


def test_matplotlib_is_loaded_for_colors_only():
    program = 'import sys, flsl_mm.visualization.clusters; sys.exit("matplotlib" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', program]).returncode == 0
