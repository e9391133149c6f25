"""Similarities of patches, by hand and as properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm import similarity_map
from flsl_mm.visualization.similarity import aggregated_similarity, cluster_centers

SQUARE = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[3.0, 3.0], [-1.0, 0.0]]])


def some_features(seed: int, h: int = 3, w: int = 4) -> torch.Tensor:
    return torch.randn(h, w, 5, generator=torch.Generator().manual_seed(seed))


def test_similarity_by_hand():
    torch.testing.assert_close(similarity_map(SQUARE, (0, 0)), torch.tensor([[1.0, 0.0], [0.5**0.5, -1.0]]))
    torch.testing.assert_close(similarity_map(SQUARE, (0, 1)), torch.tensor([[0.0, 1.0], [0.5**0.5, 0.0]]))
    for point in ((2, 0), (0, 2), (-1, 0)):
        with pytest.raises(ValueError, match=r'outside the grid of 2x2 patches'):
            similarity_map(SQUARE, point)
    # Three patches of one kind and one orthogonal to it: the larger region is the brighter, 3/4 and 1/4.
    features = torch.tensor([[[1.0, 0.0], [5.0, 0.0]], [[2.0, 0.0], [0.0, 7.0]]])
    torch.testing.assert_close(aggregated_similarity(features), torch.tensor([[0.75, 0.75], [0.75, 0.25]]))
    features = some_features(1)
    maps = torch.stack([similarity_map(features, (row, column)) for row in range(3) for column in range(4)])
    torch.testing.assert_close(aggregated_similarity(features), maps.mean(0))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), row=st.integers(0, 2), column=st.integers(0, 3), factor=st.floats(0.1, 10))
def test_similarity_is_symmetric_and_of_direction_alone(seed, row, column, factor):
    features = some_features(seed)
    map_of_point = similarity_map(features, (row, column))
    assert map_of_point[row, column] == pytest.approx(1)
    assert map_of_point.abs().max() <= 1
    assert similarity_map(features, (1, 2))[row, column] == pytest.approx(float(map_of_point[1, 2]), abs=1e-5)
    torch.testing.assert_close(similarity_map(factor * features, (row, column)), map_of_point)


def test_centers_are_the_most_typical_patches():
    angles = torch.deg2rad(torch.tensor([[0.0, 10.0, 23.0], [90.0, 95.0, 180.0]]))
    features = torch.stack([angles.cos(), angles.sin()], -1) * torch.tensor([[[4.0]], [[0.5]]])
    labels = torch.tensor([[0, 0, 0], [1, 1, 2]])
    centers = cluster_centers(features, labels)
    assert centers[0] == (0, 1)
    assert centers[1] in [(1, 0), (1, 1)]
    assert centers[2] == (1, 2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), count=st.integers(1, 5))
def test_every_center_lies_in_its_cluster(seed, count):
    features = some_features(seed)
    labels = torch.arange(12).remainder(count).view(3, 4)
    centers = cluster_centers(features, labels)
    assert [int(labels[center]) for center in centers] == list(range(count))
