"""Weighted k-NN by hand."""

import math

import pytest
import torch

from flsl_mm.evaluation.knn import accuracy, chance_accuracy, knn_scores

BANK = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
LABELS = torch.tensor([0, 1, 2])


def test_scores_by_hand():
    scores = knn_scores(BANK, LABELS, torch.tensor([[2.0, 0.0]]), num_classes=3, k=2, temperature=0.5)
    near, far = math.exp(1 / 0.5), math.exp(0)
    assert scores[0].tolist() == pytest.approx([near / (near + far), far / (near + far), 0])


def test_votes_of_one_class_add_up():
    bank = torch.tensor([[1.0, 0.0], [0.9, 0.5], [0.9, -0.5]])
    scores = knn_scores(bank, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0]]), num_classes=2, k=3, temperature=1.0)
    assert scores.argmax(-1).tolist() == [1]
    sharp = knn_scores(bank, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0]]), num_classes=2, k=3, temperature=0.05)
    assert sharp.argmax(-1).tolist() == [0]


def test_more_neighbors_than_features_and_chunks():
    assert knn_scores(BANK, LABELS, BANK, num_classes=3, k=100).argmax(-1).tolist() == [0, 1, 2]
    features = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    whole = knn_scores(BANK, LABELS, features, 3)
    torch.testing.assert_close(knn_scores(BANK, LABELS, features, 3, chunk=7), whole)


def test_constant_features_score_chance():
    labels = torch.arange(400) % 4
    shuffled = labels[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    scores = knn_scores(torch.ones(400, 8), shuffled, torch.ones(100, 8), num_classes=4)
    assert accuracy(scores.argmax(-1), labels[:100]) == 0.25
    assert chance_accuracy(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 0, 0])) == 0.25
