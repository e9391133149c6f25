"""Features beside those of a moved copy: what follows the image is found again, what follows the place is not."""

import pytest
import torch

from flsl_mm.evaluation.moved_copy import (
    clusters_found_again,
    color_correlation,
    moved_back,
    moved_copy,
    same_patch_rank,
)
from flsl_mm.models.pos_embed import sincos_pos_embed

GRIDS = [(6, 8), (5, 7), (1, 2)]


@pytest.mark.parametrize('grid_hw', GRIDS)
def test_the_copy_shows_the_same_patches_elsewhere(grid_hw):
    h, w = grid_hw
    image = torch.rand(h, w, 1, 1).expand(h, w, 4, 4).permute(0, 2, 1, 3).reshape(1, 4 * h, 4 * w).repeat(3, 1, 1)
    copy = moved_copy(image, 4)
    assert copy.shape == image.shape
    ours, back = image[0, ::4, ::4], moved_back(copy[0, ::4, ::4])
    assert torch.equal(ours.flatten().argsort(), back.flatten().argsort())  # gray, so only darker
    assert back.mean() < ours.mean()


@pytest.mark.parametrize('grid_hw', GRIDS)
def test_what_follows_the_image(grid_hw):
    features = torch.randn(*grid_hw, 16)
    copied = features + 1e-3 * torch.randn_like(features)
    labels = torch.arange(grid_hw[0] * grid_hw[1]).view(grid_hw) % 3
    assert same_patch_rank(features, copied) == 1
    colors = torch.rand(*grid_hw, 3)
    assert color_correlation(colors, 0.5 * colors + 0.1) == pytest.approx(1)
    by_cluster = torch.eye(3)[labels]
    assert clusters_found_again(by_cluster, by_cluster, labels) == 1


def test_place_cannot_score():
    """Features of place are the same in image and copy before the copy's are moved back."""
    place = sincos_pos_embed(64, (12, 16)).view(12, 16, 64)
    copied = moved_back(place)
    labels = torch.arange(12)[:, None] // 4 * 4 + torch.arange(16)[None] // 4  # blocks
    assert same_patch_rank(place, copied) < 0.3
    assert clusters_found_again(place, copied, labels) < 0
    assert color_correlation(place[..., :3], copied[..., :3]) < 0


def test_nothing_to_tell_apart():
    constant = torch.ones(4, 4, 8)
    assert same_patch_rank(constant, constant) == 0.5
    assert same_patch_rank(constant[:1, :1], constant[:1, :1]) == 0.5
    assert clusters_found_again(constant, constant, torch.zeros(4, 4, dtype=torch.long)) == 0
    assert color_correlation(constant[..., :3], constant[..., :3]) == 0


def test_half_of_the_clusters_by_hand():
    """Two clusters of 8 patches; 4 of the second fall into the first: observed 3/4, by chance 1/2."""
    labels = torch.tensor([0] * 8 + [1] * 8).view(4, 4)
    features = torch.eye(2)[labels]
    copied = torch.eye(2)[torch.tensor([0] * 12 + [1] * 4).view(4, 4)]
    assert clusters_found_again(features, copied, labels) == pytest.approx((0.75 - 0.5) / 0.5)
