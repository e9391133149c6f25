import itertools
import math

import kornia
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFilter, ImageOps
from scipy import stats
from torchvision.transforms import functional as pil

from flsl_mm.selfsup.photometric import (
    PhotometricParams,
    PhotometricPolicy,
    adjust_hue,
    apply_photometric,
    box_blur_kernel,
    draw_photometric,
)
from tests.builders.images import make_image

PIL_IMAGES = [make_image(96, 96, seed) for seed in range(6)]
IMAGES = torch.stack([pil.pil_to_tensor(image) for image in PIL_IMAGES]).float() / 255
PIL_JITTERS = (pil.adjust_brightness, pil.adjust_contrast, pil.adjust_saturation, pil.adjust_hue)


def no_jitter(batch_size: int = len(PIL_IMAGES), **changes) -> PhotometricParams:
    off = torch.zeros(batch_size, dtype=torch.bool)
    neutral = dict(
        jitter=off,
        order=torch.arange(4).repeat(batch_size, 1),
        factors=torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(batch_size, 1),
        gray=off,
        blur=off,
        sigma=torch.ones(batch_size),
        solarize=off,
    )
    return PhotometricParams(**{**neutral, **changes})


def pil_photometric(image, params, sample):
    if params.jitter[sample]:
        for operation in params.order[sample].tolist():
            image = PIL_JITTERS[operation](image, float(params.factors[sample, operation]))
    if params.gray[sample]:
        image = pil.rgb_to_grayscale(image, num_output_channels=3)
    if params.blur[sample]:
        image = image.filter(ImageFilter.GaussianBlur(float(params.sigma[sample])))
    return ImageOps.solarize(image, threshold=128) if params.solarize[sample] else image


def difference(images, pil_images):
    expected = torch.stack([pil.pil_to_tensor(image) for image in pil_images]).float()
    return (images * 255 - expected).abs().mean((1, 2, 3))


ON = torch.ones(len(PIL_IMAGES), dtype=torch.bool)
OPERATIONS = {
    'brightness': dict(jitter=ON, factors=torch.tensor([[factor, 1.0, 1.0, 0.0] for factor in (0.6, 1.4) * 3])),
    'contrast': dict(jitter=ON, factors=torch.tensor([[1.0, factor, 1.0, 0.0] for factor in (0.6, 1.4) * 3])),
    'saturation': dict(jitter=ON, factors=torch.tensor([[1.0, 1.0, factor, 0.0] for factor in (0.8, 1.2) * 3])),
    'hue': dict(jitter=ON, factors=torch.tensor([[1.0, 1.0, 1.0, turn / 50] for turn in (-5, -3, -1, 1, 3, 5)])),
    'gray': dict(gray=ON),
    'blur': dict(blur=ON, sigma=torch.tensor([0.1, 0.4, 0.7, 1.1, 1.5, 2.0])),
    'wide blur': dict(blur=ON, sigma=torch.tensor([0.5, 3.0, 4.0, 5.0, 6.0, 7.0])),
    'solarize': dict(solarize=ON),
}


@pytest.mark.parametrize('changes', OPERATIONS.values(), ids=OPERATIONS)
def test_each_operation_agrees_with_pil(changes):
    params = no_jitter(**changes)
    expected = [pil_photometric(image, params, sample) for sample, image in enumerate(PIL_IMAGES)]
    assert difference(IMAGES, expected).min() > 0.05 or 'blur' in changes  # the operation does something
    # Solarisation needs no rounding in PIL; the others round, the hue three times.
    limit = 0.01 if 'solarize' in changes else 1.2
    assert difference(apply_photometric(IMAGES, params), expected).max() < limit


def test_all_operations_together_agree_with_pil():
    policy = PhotometricPolicy(jitter_prob=1, blur_prob=(1, 0), solarize_prob=(0, 0))
    params = draw_photometric(60, policy, torch.Generator().manual_seed(0))
    out = apply_photometric(IMAGES.repeat(10, 1, 1, 1), params)
    expected = [pil_photometric(image, params, sample) for sample, image in enumerate(PIL_IMAGES * 10)]
    # Up to six operations, after each of which PIL rounds to 8 bits.
    assert difference(out, expected).mean() < 2
    assert difference(out, expected).max() < 2.5


def test_samples_do_not_depend_on_their_batch():
    params = draw_photometric(6, PhotometricPolicy(), torch.Generator().manual_seed(3))
    before = IMAGES.clone()
    together = apply_photometric(IMAGES, params)
    assert torch.equal(IMAGES, before)
    for sample in range(6):
        own = PhotometricParams(**{name: values[sample : sample + 1] for name, values in vars(params).items()})
        torch.testing.assert_close(apply_photometric(IMAGES[sample : sample + 1], own)[0], together[sample])


def test_only_drawn_samples_change():
    gray = torch.tensor([True, False, True, False, False, False])
    out = apply_photometric(IMAGES, no_jitter(gray=gray))
    assert ((out != IMAGES).flatten(1).any(1) == gray).all()
    assert torch.equal(apply_photometric(IMAGES, no_jitter()), IMAGES)


def test_hue_agrees_with_kornia():
    turns = torch.tensor([-0.5, -0.31, 0.0, 0.07, 0.25, 0.5])
    images = IMAGES.clone()
    images[:, :, 0] = 0.3  # gray pixels
    images[:, :, 1] = 0
    torch.testing.assert_close(
        adjust_hue(images, turns), kornia.enhance.adjust_hue(images, turns * 2 * math.pi), atol=2e-6, rtol=0
    )


@given(sigma=st.floats(0.05, 8))
def test_blur_kernel_has_the_wanted_variance(sigma):
    kernel = box_blur_kernel(torch.tensor([sigma, sigma / 2], dtype=torch.float64), sigma)
    positions = torch.arange(kernel.shape[1]) - kernel.shape[1] // 2
    assert kernel.shape[1] % 2 == 1
    torch.testing.assert_close(kernel.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(kernel, kernel.flip(1))
    assert (kernel[0] * positions**2).sum().item() == pytest.approx(sigma**2, rel=1e-6)
    assert (kernel[1] * positions**2).sum().item() == pytest.approx(sigma**2 / 4, rel=1e-6)


class TestDraws:
    number = 40_000

    @pytest.fixture(scope='class')
    def params(self):
        return draw_photometric(self.number, PhotometricPolicy(), torch.Generator().manual_seed(0))

    def rate(self, chosen, expected):
        return stats.binomtest(int(chosen.sum()), len(chosen), expected).pvalue

    def test_probabilities(self, params):
        assert self.rate(params.jitter, 0.8) > 0.01
        assert self.rate(params.gray, 0.2) > 0.01
        assert self.rate(params.blur, 0.5 * 0.5 + 0.5 * 0.1) > 0.01
        assert self.rate(params.solarize, 0.5 * 0.2) > 0.01

    def test_solarisation_and_strong_blur_are_of_different_branches(self, params):
        assert self.rate(params.blur[params.solarize], 0.1) > 0.01
        # Of samples without solarisation, 1/1.8 are of the branch with p=.5.
        assert self.rate(params.blur[~params.solarize], (0.5 + 0.8 * 0.1) / 1.8) > 0.01

    def test_other_choices_are_independent(self, params):
        for one, other in itertools.combinations([params.jitter, params.gray, params.blur], 2):
            table = [[(a & b).sum().item() for b in (other, ~other)] for a in (one, ~one)]
            assert stats.chi2_contingency(table).pvalue > 0.01

    def test_ranges_are_uniform(self, params):
        ranges = [(0.6, 0.8), (0.6, 0.8), (0.8, 0.4), (-0.1, 0.2)]
        for number, (low, width) in enumerate(ranges):
            assert stats.kstest(params.factors[:, number].numpy(), stats.uniform(low, width).cdf).pvalue > 0.01
        assert stats.kstest(params.sigma.numpy(), stats.uniform(0.1, 1.9).cdf).pvalue > 0.01

    def test_every_order_is_equally_likely(self, params):
        counts = torch.unique(params.order, dim=0, return_counts=True)[1]
        assert len(counts) == 24
        assert stats.chisquare(counts.numpy()).pvalue > 0.01

    def test_seed_decides(self):
        first, same, other = (
            draw_photometric(8, PhotometricPolicy(), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
        )
        assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(same).values(), strict=True))
        assert not torch.equal(first.factors, other.factors)

    def test_policy_is_used(self):
        policy = PhotometricPolicy(
            jitter_prob=0, brightness=0, hue=0.5, gray_prob=1, blur_prob=(1, 1), solarize_prob=(1, 1), blur_sigma=(3, 4)
        )
        params = draw_photometric(500, policy, torch.Generator().manual_seed(0))
        assert not params.jitter.any()
        assert (params.gray & params.blur & params.solarize).all()
        assert (params.factors[:, 0] == 1).all()
        assert params.factors[:, 3].abs().max() > 0.45
        assert params.sigma.min() >= 3


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(jitter_prob=1.1), 'probabilities'),
        (dict(blur_prob=(0.5, -0.1)), 'probabilities'),
        (dict(contrast=1.2), 'contrast'),
        (dict(hue=0.6), 'hue'),
        (dict(blur_sigma=(0, 2)), 'blur_sigma'),
    ],
)
def test_impossible_policy_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        PhotometricPolicy(**option)
