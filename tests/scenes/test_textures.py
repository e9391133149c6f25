"""Noise tiles, colors, and grids that carry textures along."""

import numpy as np
import pytest

from flsl_mm.scenes.textures import TILE, Grid, hsv, mix, noise_tile, ramp, soft_step


@pytest.mark.parametrize('name', ['white', 'clouds', 'fibers', 'cells'])
def test_noise_tiles_are_standardised_and_wrap(name):
    tile = noise_tile(name)
    assert tile.shape == (TILE, TILE)
    assert abs(tile.mean()) < 0.05
    assert 0.9 < tile.std() < 1.05
    # The step over the seam is like the steps inside.
    seam, inside = np.abs(tile[0] - tile[-1]).mean(), np.abs(np.diff(tile, axis=0)).mean()
    assert seam < 1.5 * inside


def test_textures_follow_their_grid():
    still = Grid.make((40, 40), np.array([[0.02, 0, 0], [0, 0.02, 0.0]]))
    moved = Grid.make((40, 40), np.array([[0.02, 0, -0.1], [0, 0.02, -0.06]]))
    before, after = (grid.texture('rough', 50, (10.0, 20.0)) for grid in (still, moved))
    # 50 tile pixels a unit: a tile pixel a pixel; the grid moved by 5 and 3 pixels.
    np.testing.assert_allclose(after[3:, 5:], before[:-3, :-5], atol=1e-3)
    # A turned texture has its axes exchanged; fibers change less along u than along v.
    along, across = (still.texture('fibers', 50, (10.0, 10.0), turn=turn) for turn in (False, True))
    np.testing.assert_allclose(across, along.T, atol=1e-3)
    assert np.abs(np.diff(along, axis=1)).mean() < 0.5 * np.abs(np.diff(along, axis=0)).mean()


def test_ramp_and_hsv_by_hand():
    np.testing.assert_allclose(hsv(1 / 3, 1.0, 0.5), [0, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(hsv(4 / 3, 2.0, 0.5), [0, 0.5, 0], atol=1e-6)
    colors = ramp((hsv(0, 0, 0), hsv(0, 0, 1.0)), np.array([[-1.0, 0.2, 7.0]]))
    np.testing.assert_allclose(colors[0, :, 0], [0, 0.2, 1], atol=0.003)
    np.testing.assert_allclose(mix(np.zeros(3), np.array([1.0, 2, 4]), np.array([[0, 0.25]]))[0, 1], [0.25, 0.5, 1])
    np.testing.assert_allclose(soft_step(np.array([-2.0, -1, 0, 1, 2]), 2.0), [0, 0, 0.5, 1, 1])
