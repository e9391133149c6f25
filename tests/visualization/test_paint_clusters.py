"""Images have the right pixels in the right places."""

import subprocess
import sys

import numpy as np

from flsl_mm.visualization.paint_clusters import cluster_colors, outline_clusters, paint_clusters


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
    # Patches need not divide the image.
    painted = paint_clusters(np.zeros((5, 7, 3), np.uint8), np.array([[0, 1, 2]]), opacity=1.0)
    assert (painted[:, [0, 2, 3, 4, 5, 6]] == cluster_colors(3)[[0, 0, 1, 1, 2, 2]]).all()


def test_borders_between_clusters_are_white_and_all_else_is_kept():
    image = np.zeros((8, 8, 3), np.uint8)
    outlined = outline_clusters(image, np.array([[0, 0], [0, 1]]))
    expected = np.zeros((8, 8), bool)
    expected[4:, 3:5] = expected[3:5, 4:] = True
    np.testing.assert_array_equal(outlined == 255, expected[..., None].repeat(3, -1))
    assert not image.any()
    np.testing.assert_array_equal(outline_clusters(image + 7, np.ones((2, 2), int)), image + 7)


def test_matplotlib_is_loaded_for_colors_only():
    program = 'import sys, flsl_mm.visualization.paint_clusters; sys.exit("matplotlib" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', program]).returncode == 0
