import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as pil

from flsl_mm.selfsup.views import FLSLDataPreprocessor, crop_resize, draw_crop_boxes, resample_weights
from tests.images import make_image

IMAGES = [make_image(224, 224, seed) for seed in range(5)]
TEACHER = torch.stack([pil.pil_to_tensor(image) for image in IMAGES])
NO_JITTER = dict(jitter_prob=0, gray_prob=0, blur_prob=(0, 0), solarize_prob=(0, 0))
SMALL = dict(global_crops=dict(size=32), local_crops=dict(size=16))
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def coordinates(batch_size: int, side: int = 64) -> torch.Tensor:
    """Images whose red tells the column and whose green tells the row, 0 to 252."""
    ramp = torch.arange(side, dtype=torch.uint8) * (252 // (side - 1))
    return (
        torch.stack([ramp.expand(side, side), ramp.expand(side, side).t(), torch.zeros(side, side)])
        .byte()
        .repeat(batch_size, 1, 1, 1)
    )


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


class TestPreprocessor:
    def views(self, inputs=TEACHER, seed=0, **options):
        torch.manual_seed(seed)
        return FLSLDataPreprocessor(**{**SMALL, **options})(dict(inputs=inputs), training=True)['inputs']['views']

    def test_registered_with_the_papers_views(self):
        preprocessor = MODELS.build(dict(type='FLSLDataPreprocessor'))
        out = preprocessor(dict(inputs=list(TEACHER), img_path=['a'] * 5), training=True)
        assert out['data_samples'] is None
        assert list(out['inputs']) == ['views', 'boxes']
        assert [tuple(view.shape) for view in out['inputs']['views']] == [
            (5, 3, 224, 224),
            (5, 3, 224, 224),
            (5, 3, 96, 96),
            (5, 3, 96, 96),
        ]
        assert not preprocessor.state_dict()

    def test_list_and_batch_give_the_same(self):
        for one, other in zip(self.views(list(TEACHER)), self.views(TEACHER), strict=True):
            assert torch.equal(one, other)

    def test_seed_decides(self):
        first, same, other = self.views(seed=1), self.views(seed=1), self.views(seed=2)
        assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))

    def test_takes_one_draw_of_the_default_generator(self):
        self.views(seed=4)
        after = torch.get_rng_state()
        torch.manual_seed(4)
        torch.randint(2**62, (1,))
        assert torch.equal(after, torch.get_rng_state())

    @pytest.mark.parametrize(
        ('options', 'sizes'),
        [
            (dict(local_crops=dict(num=0)), [224, 224]),
            (dict(global_crops=dict(num=0), local_crops=dict(num=1, size=48)), [224, 48]),
            (dict(global_crops=dict(num=2, size=64), local_crops=dict(num=5)), [224, 64, 64, 96, 96, 96, 96, 96]),
        ],
    )
    def test_number_and_size_of_views(self, options, sizes):
        views = FLSLDataPreprocessor(**options)(dict(inputs=TEACHER[:1]), training=True)['inputs']['views']
        assert [view.shape[-1] for view in views] == sizes

    def test_students_are_crops_of_the_teacher_without_flips(self):
        batch, side = 300, 64
        views = self.views(
            coordinates(batch, side),
            photometric=NO_JITTER,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            global_crops=dict(size=side),
            local_crops=dict(size=32),
        )
        assert torch.equal(views[0], coordinates(batch, side) / 255)
        for view, low, high in zip(views[1:], (0.5, 0.05, 0.05), (1, 0.4, 0.4), strict=True):
            pixels = view * 255 / (252 // (side - 1))
            columns, rows = pixels[:, 0].mean(1), pixels[:, 1].mean(2)
            for line in (columns, rows):
                assert (line.diff(dim=1) > -1e-4).all()  # not mirrored
                assert line.min() >= 0
                assert line.max() < side - 1 + 0.1  # bicubic interpolation overshoots a little at the border
            # Of n pixels resized to m, the middle half spans n / 2.
            m = view.shape[-1]
            width, height = (2 * (line[:, m * 3 // 4] - line[:, m // 4]) for line in (columns, rows))
            area = width * height / side**2
            assert area.min() > low - 0.03
            assert area.max() < high + 0.03
            assert area.std() > 0.2 * (high - low)
            if high < 1:  # large crops that do not fit are drawn again, so that their mean is smaller
                assert area.mean().item() == pytest.approx((low + high) / 2, abs=0.025)

    def test_every_view_of_every_sample_has_its_own_jitter(self):
        photometric = {**NO_JITTER, 'gray_prob': 0.5}
        views = self.views(TEACHER[:1].repeat(200, 1, 1, 1), photometric=photometric, mean=(0, 0, 0), std=(1, 1, 1))
        gray = torch.stack([(view.amax(1) - view.amin(1)).flatten(1).amax(1) < 1e-5 for view in views]).float()
        assert ((gray.mean(1) > 0.4) & (gray.mean(1) < 0.6)).all()
        assert torch.corrcoef(gray).fill_diagonal_(0).abs().max() < 0.2

    def test_clean_views_are_the_same_crops(self):
        preprocessor = FLSLDataPreprocessor(**SMALL, clean_views=True)
        torch.manual_seed(7)
        jittered = preprocessor(dict(inputs=TEACHER), training=True)['inputs']
        plain = self.views(seed=7, photometric=NO_JITTER)
        assert len(jittered['clean_views']) == len(jittered['views']) == 4
        for clean, expected, view in zip(jittered['clean_views'], plain, jittered['views'], strict=True):
            assert torch.equal(clean, expected)
            assert not torch.equal(clean, view)
        torch.testing.assert_close(plain[0], (TEACHER / 255 - MEAN) / STD)

    def test_mixed_precision_leaves_the_views_alone(self):
        expected = self.views()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            views = self.views()
        assert all(torch.equal(a, b) for a, b in zip(views, expected, strict=True))

    @pytest.mark.parametrize('inputs', [TEACHER, TEACHER.float(), list(TEACHER)])
    def test_without_training_only_normalizes(self, inputs):
        out = FLSLDataPreprocessor()(dict(inputs=inputs))
        torch.testing.assert_close(out['inputs'], (TEACHER / 255 - MEAN) / STD)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(global_crops=dict(num=0), local_crops=dict(num=0)), 'no view'),
            (dict(local_crops=dict(num=-1)), 'num must be'),
            (dict(local_crops=dict(size=0)), 'size and window 1 or more'),
            (dict(local_crops=dict(window=0)), 'size and window 1 or more'),
            (dict(global_crops=dict(scale=(0.5, 1.2))), 'scale must be'),
            (dict(photometric=dict(hue=2)), 'hue'),
        ],
    )
    def test_impossible_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            FLSLDataPreprocessor(**options)
