"""Pictures have the right pixels in the right places."""

from __future__ import annotations

import numpy as np
from PIL import Image

from flsl_mm.visualization.clusters import cluster_colors, paint_clusters, picture_grid


def test_neighbouring_clusters_differ_in_colour():
    colors = cluster_colors(10).astype(int)
    assert len({tuple(color) for color in colors}) == 10


def test_paint_covers_each_patch_with_its_colour():
    labels = np.array([[0, 1], [1, 2]])
    painted = paint_clusters(np.zeros((4, 6, 3), np.uint8), labels, opacity=1.0)
    colors = cluster_colors(3)
    for row, column in np.ndindex(2, 2):
        patch = painted[2 * row : 2 * row + 2, 3 * column : 3 * column + 3].reshape(-1, 3)
        assert (patch == colors[labels[row, column]]).all()


def test_grid_places_every_picture(tmp_path):
    rows = [[np.full((8, 10, 3), 40 * (2 * row + column), np.uint8) for column in range(2)] for row in range(3)]
    path = picture_grid(rows, ('left', 'right'), tmp_path / 'grid.png', scale=3)
    grid = np.array(Image.open(path))
    found = {value for value in (0, 40, 80, 120, 160, 200) if (grid == value).all(-1).sum() >= 8 * 10 * 9}
    assert found == {0, 40, 80, 120, 160, 200}
