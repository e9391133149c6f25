import pytest
import torch
from mmengine.registry import MODELS
from torchvision.transforms import functional as pil

from flsl_mm.selfsup.views import FLSLDataPreprocessor
from tests.builders.images import make_image

IMAGES = [make_image(224, 224, seed) for seed in range(5)]
TEACHER = torch.stack([pil.pil_to_tensor(image) for image in IMAGES])
NO_JITTER = dict(jitter_prob=0, gray_prob=0, blur_prob=(0, 0), solarize_prob=(0, 0))
SMALL = dict(global_crops=dict(size=32), local_crops=dict(size=16))
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def coordinates(batch_size: int, side: int = 64) -> torch.Tensor:
    """Images whose red tells the column and whose green tells the row, 0 to 252."""
    ramp = torch.arange(side, dtype=torch.uint8) * (252 // (side - 1))
    columns = ramp.expand(side, side)
    return torch.stack([columns, columns.t(), torch.zeros_like(columns)]).repeat(batch_size, 1, 1, 1)


class TestPreprocessor:
    def views(self, inputs=TEACHER, seed=0, **options):
        torch.manual_seed(seed)
        return FLSLDataPreprocessor(**{**SMALL, **options})(dict(inputs=inputs), training=True)['inputs']['views']

    def test_registered_with_the_papers_views(self):
        preprocessor = MODELS.build(dict(type='FLSLDataPreprocessor'))
        out = preprocessor(dict(inputs=list(TEACHER), img_path=['a'] * 5), training=True)
        assert out['data_samples'] is None
        assert list(out['inputs']) == ['views', 'boxes']
        sizes = (224, 224, 96, 96)
        assert [tuple(view.shape) for view in out['inputs']['views']] == [(5, 3, size, size) for size in sizes]
        assert not preprocessor.state_dict()

    def test_list_and_batch_give_the_same(self):
        torch.testing.assert_close(self.views(list(TEACHER)), self.views(TEACHER), rtol=0, atol=0)

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
        plain = dict(photometric=NO_JITTER, mean=(0, 0, 0), std=(1, 1, 1))
        sizes = dict(global_crops=dict(size=side), local_crops=dict(size=32))
        views = self.views(coordinates(batch, side), **plain, **sizes)
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
            (dict(std=(0, 0, 0)), 'std, which has to be positive'),
        ],
    )
    def test_impossible_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            FLSLDataPreprocessor(**options)
