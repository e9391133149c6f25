"""Mean-shift clusters of made patches."""

import torch

from flsl_mm import mean_shift_clusters


def test_clusters_are_the_groups_by_size():
    generator = torch.Generator().manual_seed(0)
    centers = torch.eye(3)[torch.tensor([0, 1, 1, 1, 2, 2])]
    labels = mean_shift_clusters(centers + 0.02 * torch.randn(6, 3, generator=generator), scale=20)
    assert labels.tolist() == [2, 0, 0, 0, 1, 1]


def test_a_smaller_scale_gives_fewer_clusters():
    angles = torch.deg2rad(torch.tensor([[0.0, 5.0, 60.0], [65.0, 120.0, 125.0]]))
    patches = torch.stack([angles.cos(), angles.sin()], -1)
    assert mean_shift_clusters(patches, scale=50).tolist() == [[0, 0, 1], [1, 2, 2]]
    assert mean_shift_clusters(patches, scale=0.5).unique().tolist() == [0]
