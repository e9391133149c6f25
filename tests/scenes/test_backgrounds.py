"""What the kinds of ground paint."""

import numpy as np
import pytest

from flsl_mm.scenes.backgrounds import BACKGROUND_KINDS
from flsl_mm.scenes.textures import Grid


@pytest.mark.parametrize('kind', BACKGROUND_KINDS, ids=lambda kind: kind.name)
def test_backgrounds_are_textured_and_vary(kind):
    grid = Grid.make((64, 64), np.array([[1 / 64, 0, -0.5], [0, 1 / 64, -0.5]]))
    means = []
    for seed in range(8):
        colors = kind.paint(grid, kind.sample(np.random.default_rng(seed)))
        assert colors.shape == (64, 64, 3)
        assert colors.dtype == np.float32
        assert colors.std(axis=(0, 1)).max() > 0.01
        means.append(colors.mean(axis=(0, 1)))
    assert np.std(means, axis=0).max() > 0.03
