"""Positions as arithmetic on tensors: torch's own interpolation, at any size."""

import pytest
import torch

from flsl_mm.commands.export.traceable import TraceableFeatures, resized_positions
from flsl_mm.models.pos_embed import resize_pos_embed
from tests.builders.checkpoints import tiny


@pytest.mark.parametrize('mode', ['offset', 'size'])
@pytest.mark.parametrize('target_hw', [(4, 6), (4, 7), (1, 1), (3, 2), (13, 6), (40, 11)])
def test_positions_are_those_of_the_backbone(mode, target_hw):
    table = torch.randn(1, 24, 5, generator=torch.Generator().manual_seed(0))
    expected = resize_pos_embed(table, (4, 6), target_hw, mode)[0]
    given = resized_positions(table[0], (4, 6), target_hw, mode)
    torch.testing.assert_close(given, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize('size', [(32, 32), (33, 31), (5, 8), (64, 17)])
def test_features_are_those_of_the_model(size):
    from flsl_mm.evaluation.features import FeatureExtractor

    model = FeatureExtractor(tiny(3)).eval()
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(TraceableFeatures(model)(images), model(images), rtol=0, atol=1e-5)
