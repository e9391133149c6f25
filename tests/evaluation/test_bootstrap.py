"""Standard errors by drawing images anew, against formulas."""

import math

import pytest
import torch

from flsl_mm.evaluation.bootstrap import bootstrap_error, share
from flsl_mm.evaluation.segmentation import mean_iou


def test_the_error_is_the_binomial_one_of_images():
    right = (torch.arange(400) % 4 == 0).double()
    counts = torch.stack([right, torch.ones(400)], dim=-1)
    assert bootstrap_error(counts, resamples=2000) == pytest.approx(math.sqrt(0.25 * 0.75 / 400), rel=0.1)
    counts = torch.tensor([[100.0, 100.0], [0.0, 100.0]] * 50)
    assert bootstrap_error(counts, resamples=2000) == pytest.approx(math.sqrt(0.25 / 100), rel=0.1)


def test_it_is_the_same_each_time():
    counts = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    assert bootstrap_error(counts) == bootstrap_error(counts)
    assert bootstrap_error(counts) != bootstrap_error(counts, seed=1)


def test_images_alike_have_no_error_and_one_image_tells_none():
    counts = torch.tensor([[[3, 1], [4, 2], [4, 2]]]).expand(20, -1, -1)
    assert bootstrap_error(counts, mean_iou) < 1e-12
    assert math.isnan(bootstrap_error(counts[:1], mean_iou))
    assert share(torch.tensor([[1, 4], [3, 4]])).tolist() == [0.25, 0.75]
