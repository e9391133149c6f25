"""What the classes of objects paint."""

import numpy as np
import pytest

from flsl_mm.scenes.objects import OBJECT_CLASSES
from flsl_mm.scenes.textures import Grid


@pytest.mark.parametrize('kind', OBJECT_CLASSES, ids=lambda kind: kind.name)
def test_painters_stay_within_the_unit_disc_and_vary(kind):
    grid = Grid.make((61, 61), np.array([[1 / 28, 0, -30 / 28], [0, 1 / 28, -30 / 28]]))
    outside = np.hypot(grid.u, grid.v) > 1.02
    areas, colors = [], []
    for seed in range(40):
        field, painted = kind.paint(grid, kind.sample(np.random.default_rng(seed)))
        assert field.dtype == painted.dtype == np.float32
        assert (field[outside] > 0).all()
        areas.append((field < 0).mean())
        colors.append(painted[field < 0].mean(axis=0))
    assert min(areas) > 0.05
    assert np.std(colors, axis=0).max() > 0.05
