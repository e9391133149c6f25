import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as pil

from flsl_mm.selfsup.crops import crop_resize, draw_crop_boxes, resample_weights
from tests.builders.images import make_image

IMAGES = [make_image(224, 224, seed) for seed in range(5)]
TEACHER = torch.stack([pil.pil_to_tensor(image) for image in IMAGES])


@pytest.mark.parametrize(
    ('size', 'boxes'),
    [
        (224, [(0, 0, 224, 224), (10, 30, 160, 170), (64, 0, 150, 200), (3, 4, 218, 163), (100, 100, 1, 2)]),
        (96, [(0, 0, 224, 224), (10, 30, 50, 50), (64, 0, 142, 120), (3, 4, 96, 96), (174, 180, 50, 44)]),
        (16, [(0, 0, 224, 224), (10, 30, 50, 50), (64, 0, 142, 120), (3, 4, 7, 96), (174, 180, 50, 44)]),
    ],
)
def test_crop_agrees_with_pil(size, boxes):
    out = crop_resize(TEACHER.float() / 255, torch.tensor(boxes), size) * 255
    for image, view, (left, top, width, height) in zip(IMAGES, out, boxes, strict=True):
        resized = pil.resized_crop(image, top, left, height, width, [size, size], pil.InterpolationMode.BICUBIC)
        error = (view - pil.pil_to_tensor(resized)).abs()
        assert error.mean() < 0.5
        assert error.max() < 2


def test_crop_of_the_whole_image_is_the_image():
    images = TEACHER.float() / 255
    out = crop_resize(images, torch.tensor([0, 0, 224, 224]).repeat(5, 1), 224)
    torch.testing.assert_close(out, images, atol=1e-6, rtol=0)


def test_crop_by_hand():
    """Two pixels, centers .5 and 1.5, to three: the first one's center, 1/3, lies 1/6 and 7/6 from theirs."""
    out = crop_resize(torch.tensor([0.25, 0.75]).expand(1, 1, 2, 2), torch.tensor([[0, 0, 2, 2]]), 3)
    near = 1.5 * (1 / 6) ** 3 - 2.5 * (1 / 6) ** 2 + 1
    far = -0.5 * (7 / 6) ** 3 + 2.5 * (7 / 6) ** 2 - 4 * (7 / 6) + 2
    first = (0.25 * near + 0.75 * far) / (near + far)
    expected = torch.tensor([first, 0.5, 1 - first])
    torch.testing.assert_close(out[0, 0, 1], expected)


@given(start=st.integers(0, 30), length=st.integers(1, 30), size=st.integers(1, 40))
def test_weights_of_a_segment(start, length, size):
    weights = resample_weights(torch.tensor([start]).double(), torch.tensor([length]).double(), size, 60)[0]
    assert weights.shape == (size, 60)
    torch.testing.assert_close(weights.sum(1), torch.ones(size).double())
    assert not weights[:, :start].any()
    assert not weights[:, start + length :].any()
    segment = weights[:, start : start + length]
    torch.testing.assert_close(segment, segment.flip(0, 1))


class TestBoxes:
    @pytest.mark.parametrize('scale', [(0.05, 0.4), (0.5, 1.0)])
    def test_distribution_is_torchvisions(self, scale):
        boxes = draw_crop_boxes(6000, 224, scale, torch.Generator().manual_seed(0)).double()
        torch.manual_seed(0)
        image = torch.empty(3, 224, 224)
        other = torch.tensor([RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3)) for _ in range(6000)])
        top, left, height, width = other.double().unbind(1)
        ours = dict(left=boxes[:, 0], top=boxes[:, 1], width=boxes[:, 2], height=boxes[:, 3])
        for name, theirs in dict(left=left, top=top, width=width, height=height).items():
            assert stats.ks_2samp(ours[name].numpy(), theirs.numpy()).pvalue > 0.01, name
        area, other_area = ours['width'] * ours['height'], width * height
        assert stats.ks_2samp(area.numpy(), other_area.numpy()).pvalue > 0.01

    def test_local_area_and_aspect_are_uniform(self):
        boxes = draw_crop_boxes(20_000, 10_000, (0.05, 0.4), torch.Generator().manual_seed(1)).double()
        width, height = boxes[:, 2], boxes[:, 3]
        assert stats.kstest((width * height / 1e8).numpy(), stats.uniform(0.05, 0.35).cdf).pvalue > 0.01
        log_ratio = torch.log(torch.tensor(4 / 3)).item()
        aspect = torch.log(width / height).numpy()
        assert stats.kstest(aspect, stats.uniform(-log_ratio, 2 * log_ratio).cdf).pvalue > 0.01
        for start, size in ((boxes[:, 0], width), (boxes[:, 1], height)):
            assert stats.kstest((start / (1e4 - size)).numpy(), stats.uniform(0, 1).cdf).pvalue > 0.01

    @given(side=st.integers(1, 300), seed=st.integers(0, 999), low=st.floats(0.01, 1), high=st.floats(0.01, 1))
    def test_boxes_lie_inside(self, side, seed, low, high):
        scale = (min(low, high), max(low, high))
        boxes = draw_crop_boxes(20, side, scale, torch.Generator().manual_seed(seed))
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] >= 1).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= side).all()
        fallback = (boxes[:, 2:] == side).all(1)
        area = boxes[:, 2].double() * boxes[:, 3]
        rounding = boxes[:, 2:].sum(1) / 2 + 1
        assert (fallback | ((area >= scale[0] * side**2 - rounding) & (area <= scale[1] * side**2 + rounding))).all()

    def test_whole_image_where_no_crop_fits(self):
        # Of area 1 only a square fits, and no drawn aspect ratio is 1.
        boxes = draw_crop_boxes(50, 10_000, (1, 1), torch.Generator().manual_seed(0))
        assert torch.equal(boxes, torch.tensor([0, 0, 10_000, 10_000]).repeat(50, 1))
