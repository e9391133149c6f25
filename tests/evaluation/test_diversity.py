"""Effective rank, cosine within images, shares of variance between images and between places, by hand."""

import math

import pytest
import torch

from flsl_mm.evaluation.diversity import between_image_share, effective_rank, place_share, within_image_cosine


def test_effective_rank_by_hand():
    axes = torch.cat([torch.eye(6), -torch.eye(6)])
    assert effective_rank(axes) == pytest.approx(6)
    # Singular values 3 and 1: entropy of (3/4, 1/4).
    features = torch.tensor([[3.0, 0, 0], [-3.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    assert effective_rank(features) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    line = torch.linspace(-1, 1, 9)[:, None] * torch.randn(5, generator=torch.Generator().manual_seed(0))
    assert effective_rank(line + 3) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.full((9, 5), 0.3)) == 0


def test_cosine_within_images_by_hand():
    tokens = torch.tensor([[[1.0, 0], [0, 2.0], [3.0, 0]]])
    assert within_image_cosine(tokens) == pytest.approx(1 / 3)  # pairs: 0, 1, 0
    tokens = torch.eye(2)[:, None].expand(2, 4, 2)
    assert within_image_cosine(tokens) == pytest.approx(1)


def test_share_between_images_by_hand():
    alike = torch.tensor([[[0.0], [0.0]], [[2.0], [2.0]]])
    assert between_image_share(alike) == 1
    assert between_image_share(torch.tensor([[[0.0], [2.0]], [[2.0], [0.0]]])) == 0
    # Means 1 and 3 about 2, tokens within 1 of their mean: 1 / (1 + 1).
    assert between_image_share(torch.tensor([[[0.0], [2.0]], [[2.0], [4.0]]])) == 0.5
    assert math.isnan(between_image_share(torch.ones(2, 3, 4)))


def test_share_of_place_by_hand():
    """Unit vectors count, not lengths. Two images of two patches."""
    east, north = torch.tensor([3.0, 0]), torch.tensor([0, 0.5])
    assert place_share(torch.stack([torch.stack([east, north])] * 2)) == pytest.approx(1)
    # Each place has both: its mean is the mean of all. By chance alone half of the variance would lie between places.
    assert place_share(torch.stack([torch.stack([east, north]), torch.stack([north, east])])) == pytest.approx(-1)
    # Means (1, 0) and (1/2, 1/2) about (3/4, 1/4): 1/8. Total: 3 of 4 at 1/8, one at 9/8: 3/8. (1/3 - 1/2) / (1/2).
    tokens = torch.stack([torch.stack([east, east]), torch.stack([east, north])])
    assert place_share(tokens) == pytest.approx(-1 / 3)
    assert math.isnan(place_share(torch.ones(2, 3, 4)))
    assert math.isnan(place_share(torch.randn(1, 3, 4)))


@pytest.mark.parametrize('images', [4, 64])
def test_share_of_place_does_not_depend_on_the_number_of_images(images):
    """Half of the variance is of the place: a code of 50 places, and as much of each patch's own."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(images, 50, 200, generator=generator)
    place = torch.randn(50, 200, generator=generator)
    assert place_share(own) == pytest.approx(0, abs=0.02)
    assert place_share(own + place) == pytest.approx(0.5, abs=0.02)
