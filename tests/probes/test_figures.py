"""Figures from what each image counts."""

import math

import pytest
import torch

from flsl_mm.probes.figures import right_figure, share_figure


def test_a_share_weighs_images_by_what_they_are_asked():
    figure = share_figure(torch.tensor([[1, 1], [0, 3], [2, 4]]))
    assert figure.value == 3 / 8
    assert 0 < figure.error < 0.3


def test_an_accuracy_has_the_error_of_a_proportion():
    figure = right_figure(torch.tensor([True] * 30 + [False] * 70))
    assert figure.value == 0.3
    assert figure.error == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.2)


def test_nothing_asked_gives_no_number():
    assert math.isnan(share_figure(torch.zeros(3, 2)).value)
