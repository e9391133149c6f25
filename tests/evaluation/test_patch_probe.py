"""The probe's figures against small cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flsl_mm.evaluation.patch_probe import (
    chance_accuracy,
    knn_accuracy,
    mean_shift_clusters,
    patch_owners,
    same_object_auc,
)


def test_patch_owners_by_hand():
    instances = torch.zeros(1, 4, 6, dtype=torch.long)
    instances[0, :2, :2] = 3  # whole first patch
    instances[0, 0, 2] = 1  # one pixel of four of the second
    instances[0, 2, 4], instances[0, 2, 5], instances[0, 3, 4] = 1, 2, 3  # nothing covers half of the last
    assert patch_owners(instances, 2).tolist() == [[3, 0, 0, 0, 0, -1]]


def test_auc_by_hand():
    # Angles 0, 10 (object 1) and 60, 90 degrees (object 2); the patch without object must not count.
    angles = torch.deg2rad(torch.tensor([0.0, 10.0, 60.0, 90.0, 5.0]))
    features = torch.stack([angles.cos(), angles.sin()], -1).unsqueeze(0)
    owners = torch.tensor([[1, 1, 2, 2, 0]])
    # Same: 10 and 30 degrees; different: 60, 90, 50, 80: every same pair is closer.
    assert same_object_auc(features, owners) == 1.0
    owners = torch.tensor([[1, 2, 2, 1, 0]])
    # Same: 50 and 90; different: 10, 60, 80, 30: of 8 comparisons 50 wins over 60 and 80, 90 over none.
    assert same_object_auc(features, owners) == pytest.approx(2 / 8)


def test_auc_of_ties_is_one_half():
    assert same_object_auc(torch.ones(1, 4, 2), torch.tensor([[1, 1, 2, 2]])) == 0.5


@given(st.integers(0, 10_000))
def test_auc_equals_all_comparisons(seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randint(-2, 3, (1, 7, 2), generator=generator).float() + 0.1
    owners = torch.randint(1, 4, (1, 7), generator=generator)
    directions = torch.nn.functional.normalize(features[0], dim=-1)
    similarity = directions @ directions.T
    pairs = [(i, j) for i in range(7) for j in range(i + 1, 7)]
    same = [similarity[i, j] for i, j in pairs if owners[0, i] == owners[0, j]]
    different = [similarity[i, j] for i, j in pairs if owners[0, i] != owners[0, j]]
    auc = same_object_auc(features, owners)
    if not same or not different:
        assert auc != auc
    else:
        wins = sum((s > d).item() + 0.5 * (s == d).item() for s in same for d in different)
        assert auc == pytest.approx(wins / (len(same) * len(different)))


def test_knn_by_hand():
    train = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [0.2, 0.8]])
    labels = torch.tensor([0, 0, 1, 1, 1])
    test = torch.tensor([[1.0, 0.05], [0.0, 2.0]])
    assert knn_accuracy(train, labels, test, torch.tensor([0, 1]), k=2) == 1.0
    assert knn_accuracy(train, labels, test, torch.tensor([0, 1]), k=5) == 0.5  # the majority of all five is 1
    # A tie of one vote each goes to the more similar neighbour.
    assert knn_accuracy(train[1:3], labels[1:3], test[:1], torch.tensor([0]), k=2) == 1.0


def test_chance_by_hand():
    assert chance_accuracy(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 0, 0])) == 0.25


def test_clusters_are_the_groups_by_size():
    generator = torch.Generator().manual_seed(0)
    centers = torch.eye(3)[torch.tensor([0, 1, 1, 1, 2, 2])]
    labels = mean_shift_clusters(centers + 0.02 * torch.randn(6, 3, generator=generator), scale=20)
    assert labels.tolist() == [2, 0, 0, 0, 1, 1]
