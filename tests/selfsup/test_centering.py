"""Centering of targets by image: by hand, and what it leaves."""

import pytest
import torch

from flsl_mm.selfsup.centering import center_images, image_mean
from tests.builders.toy_flsl import toy_model, toy_views

ALL = torch.ones(1, 4, dtype=torch.bool)


def test_the_images_mean_by_hand():
    logits = torch.tensor([[[1.0, 0.0], [3.0, 4.0], [100.0, 100.0]]])
    counted = torch.tensor([[True, True, False]])
    assert image_mean(logits, counted).tolist() == [[[2.0, 2.0]]]
    assert image_mean(logits, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[[0.0, 0.0]]]


def test_a_share_of_the_images_mean_goes():
    logits = torch.tensor([[[1.0], [3.0], [5.0], [7.0]]])
    assert center_images(logits, ALL, 0.5).flatten().tolist() == [-1, 1, 3, 5]
    of_image = torch.randn(3, 1, 5, generator=torch.Generator().manual_seed(0))
    content = torch.tensor([[[1.0], [-1.0], [2.0], [-2.0]]]).expand(3, 4, 5)
    torch.testing.assert_close(center_images(of_image + content, ALL.expand(3, -1), 1.0), content)


def test_the_models_targets_are_centered():
    plain, model = toy_model(anchor_width=0.1), toy_model(anchor_width=0.1, image_centering=0.75)
    views, seen = toy_views(model), []
    for each in (plain, model):
        each.assign = lambda logits: seen.append(logits) or logits.softmax(-1)
        torch.manual_seed(0)
        each.loss(views)['loss'].backward()
    logits, centered = seen
    torch.testing.assert_close(centered, logits - 0.75 * logits.mean(1, keepdim=True))


@pytest.mark.parametrize('share', [-0.1, 1.5])
def test_the_share_is_one(share):
    with pytest.raises(ValueError, match='image_centering is a share'):
        toy_model(image_centering=share)
