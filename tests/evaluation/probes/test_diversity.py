"""Diversity of trivial features, whose figures are known."""

import math

import pytest
import torch

from flsl_mm.evaluation.probes.diversity import DiversityProbe
from flsl_mm.evaluation.probes.sources import Constant, MeanColor, PositionAlone
from tests.builders.probe_data import PATCH, SPEC

IMAGES = torch.randint(256, (6, 3, 32, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_constants_have_no_rank():
    scores = DiversityProbe(IMAGES)(Constant(PATCH))
    assert scores['effective_rank'].value == 0
    assert scores['within_cosine'].value == pytest.approx(1)
    assert math.isnan(scores['between_share'].value)
    assert math.isnan(scores['place_share'].value)


def test_position_is_the_same_in_all_images():
    scores = DiversityProbe(IMAGES)(PositionAlone(SPEC))
    assert scores['between_share'].value == pytest.approx(0, abs=1e-9)
    assert scores['within_cosine'].error == pytest.approx(0, abs=1e-6)
    assert scores['place_share'].value == pytest.approx(1)


def test_images_of_one_color_differ_between_images_only():
    plain = IMAGES[:, :, :1, :1].expand(-1, -1, 32, 32)
    scores = DiversityProbe(plain)(MeanColor(PATCH))
    assert scores['between_share'].value == pytest.approx(1)
    assert scores['place_share'].value == pytest.approx(-1 / 5)  # (0 - 1 / 6) / (1 - 1 / 6)


def test_without_a_readable_image_there_is_no_figure(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'')
    with pytest.raises(ValueError, match='none of the 1 images can be read'):
        DiversityProbe([tmp_path / 'a.png'])(Constant(PATCH))


def test_limit_and_square():
    probe = DiversityProbe(IMAGES, limit=4)
    assert len(probe.images) == 4
    assert probe.chance(PATCH) == {}
