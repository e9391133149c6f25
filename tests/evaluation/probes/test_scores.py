"""Figures from what each image counts."""

import math

import pytest
import torch

from flsl_mm.evaluation.probes.scores import accuracy_score, share_score


def test_a_share_weighs_images_by_what_they_are_asked():
    score = share_score(torch.tensor([[1, 1], [0, 3], [2, 4]]))
    assert score.value == 3 / 8
    assert 0 < score.error < 0.3


def test_an_accuracy_has_the_error_of_a_proportion():
    score = accuracy_score(torch.tensor([True] * 30 + [False] * 70))
    assert score.value == 0.3
    assert score.error == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.2)
    assert math.isnan(share_score(torch.zeros(3, 2)).value)
