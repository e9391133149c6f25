"""Colors of patches: which directions they show, by hand and as properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm import pca_rgb
from flsl_mm.visualization.pca import color_basis


def some_features(seed: int, count: int = 40) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def test_directions_are_those_of_falling_variance():
    """Unit vectors round e3 that swing widely along e1, less along e0 and least along e2, in signs that cancel."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    features = torch.stack([0.2 * corners[:, 0], 0.5 * corners[:, 1], 0.1 * corners[:, 2], torch.ones(8)], -1)
    basis = color_basis(features)
    torch.testing.assert_close(basis.directions, torch.eye(4)[[1, 0, 2]], atol=1e-5, rtol=0)
    # By red, green and blue the corner of each patch can be read.
    torch.testing.assert_close(pca_rgb(features), (corners[:, [1, 0, 2]] + 1) / 2, atol=1e-5, rtol=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), factor=st.floats(0.1, 10))
def test_colors_are_in_range_and_of_direction_alone(seed, factor):
    features = some_features(seed)
    colors = pca_rgb(features)
    assert colors.shape == (40, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    torch.testing.assert_close(pca_rgb(factor * features, color_basis(features)), colors, atol=1e-4, rtol=0)
    torch.testing.assert_close(pca_rgb(features.view(8, 5, 6)), colors.view(8, 5, 3))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_signs_are_settled(seed):
    """A direction's largest component is positive, so that the same features have the same colors everywhere."""
    directions = color_basis(some_features(seed)).directions
    assert (directions.max(1).values >= -directions.min(1).values).all()
    torch.testing.assert_close(directions @ directions.T, torch.eye(3), atol=1e-5, rtol=0)


def test_one_basis_gives_one_feature_one_color():
    first, second = some_features(0), some_features(1)
    second[3] = 2 * first[5]
    basis = color_basis(torch.cat([first, second]))
    torch.testing.assert_close(pca_rgb(first, basis)[5], pca_rgb(second, basis)[3])
    assert not torch.allclose(pca_rgb(first)[5], pca_rgb(second)[3], atol=0.01)


def test_outliers_do_not_take_the_range():
    features = torch.cat([some_features(0, 400) * 0.1 + torch.tensor([0, 0, 0, 0, 0, 5.0]), -torch.eye(6)[5:]])
    spread = pca_rgb(features)[:400]
    assert (spread.max(0).values - spread.min(0).values).min() > 0.9
    for shape in ((2, 3, 4), (1, 1, 4)):  # where nothing varies colors are gray
        assert (pca_rgb(torch.ones(shape)) == 0.5).all()
    with pytest.raises(ValueError, match='3 channels at least, got 2'):
        pca_rgb(torch.ones(5, 2))
