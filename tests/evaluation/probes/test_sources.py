"""Trivial features: what they look at, and what they do not."""

import pytest
import torch
from torch.nn import functional as F

from flsl_mm.evaluation.probes.sources import ColorAndPosition, Constant, MeanColor, PositionAlone, random_weights
from flsl_mm.models.pos_embed import sincos_pos_embed
from tests.builders.probe_data import SPEC


@pytest.mark.parametrize(
    'source', [MeanColor(8), PositionAlone(SPEC), ColorAndPosition(SPEC), Constant(8), random_weights(SPEC)]
)
def test_one_protocol(source):
    features = source(torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0)))
    assert features.shape[:3] == (2, 3, 5)
    assert source.patch_size == 8
    assert isinstance(source.name, str)


def test_mean_color_by_hand():
    images = torch.zeros(1, 3, 8, 16)
    images[0, 0, :, 8:] = 1
    images[0, 1, :4, :8] = 1
    dark, red = MeanColor(8)(images)[0, 0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(dark, torch.cat([(torch.tensor([0, 0.5, 0]) - mean) / std, torch.ones(1)]))
    torch.testing.assert_close(red, torch.cat([(torch.tensor([1, 0, 0]) - mean) / std, torch.ones(1)]))


def test_position_does_not_look_at_the_image():
    source = PositionAlone(SPEC)
    features = source(torch.rand(3, 3, 64, 64))
    assert torch.equal(features[0], features[2])
    assert torch.equal(features[0].flatten(0, 1), sincos_pos_embed(16, (8, 8))[0])
    assert source(torch.rand(1, 3, 16, 80)).shape == (1, 2, 10, 16)


def test_random_weights_are_those_of_their_seed():
    before = torch.get_rng_state()
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, again, other = (random_weights(SPEC, seed)(images) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_color_and_position_count_equally():
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))

    def cosines(source):
        features = F.normalize(source(images).flatten(0, 2), dim=-1)
        return features @ features.T

    mean = (cosines(MeanColor(8)) + cosines(PositionAlone(SPEC))) / 2
    torch.testing.assert_close(cosines(ColorAndPosition(SPEC)), mean)
