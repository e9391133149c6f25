import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as pil

from flsl_mm.datasets.teacher_view import random_crop_box, resized_crop, teacher_view
from tests.builders.images import make_image


@pytest.mark.parametrize('shape', [(500, 375), (170, 333), (900, 200)])
def test_crop_distribution_is_torchvisions(shape):
    width, height = shape
    rng = np.random.default_rng(0)
    ours = np.array([random_crop_box(width, height, (0.8, 1.0), rng) for _ in range(4000)])
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = [RandomResizedCrop.get_params(image, (0.8, 1.0), (3 / 4, 4 / 3)) for _ in range(4000)]
    theirs = np.array([(left, top, left + w, top + h) for top, left, h, w in theirs])
    for edge in range(4):
        assert stats.ks_2samp(ours[:, edge], theirs[:, edge]).pvalue > 0.01


@pytest.mark.parametrize(('width', 'height'), [(500, 375), (8, 5000), (5000, 8), (8, 8)])
def test_boxes_lie_inside(width, height):
    rng = np.random.default_rng(1)
    for _ in range(300):
        left, top, right, bottom = random_crop_box(width, height, (0.8, 1.0), rng)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    # Long images get the largest central crop: 100 / 133 is nearest to 3/4.
    assert random_crop_box(100, 900, (0.8, 1.0), rng) == (0, 383, 100, 516)
    assert random_crop_box(900, 100, (0.8, 1.0), rng) == (383, 0, 516, 100)


@pytest.mark.parametrize('box', [(0, 0, 500, 375), (20, 11, 471, 350), (100, 100, 180, 190)])
def test_resize_agrees_with_torchvisions_of_pil_images(box):
    image = make_image(500, 375)
    left, top, right, bottom = box
    expected = pil.resized_crop(image, top, left, bottom - top, right - left, [224, 224], pil.InterpolationMode.BICUBIC)
    view = resized_crop(image, box, 224)
    assert view.dtype == torch.uint8
    assert view.shape == (3, 224, 224)
    assert view.is_contiguous()
    assert (view.int() - pil.pil_to_tensor(expected).int()).abs().float().mean() < 0.1


def test_view_depends_on_the_generator_alone():
    image = make_image(100, 80)
    first, same, other = (teacher_view(image, 32, (0.8, 1.0), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    gray = teacher_view(image.convert('L'), 32, (0.8, 1.0), np.random.default_rng(0))
    assert torch.equal(gray[:1].expand(3, -1, -1), gray)
    assert gray.float().std() > 10
