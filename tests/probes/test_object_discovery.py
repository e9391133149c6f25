"""Object discovery on made COCO files."""

import pytest

from flsl_mm.probes.object_discovery import ObjectDiscoveryProbe
from flsl_mm.probes.sources import Constant, MeanColor, PositionAlone
from tests.probes.data import PATCH, SPEC, write_boxes


@pytest.fixture(scope='module')
def probe(tmp_path_factory):
    # Black, blue, green: far from white.
    boxes = write_boxes(tmp_path_factory.mktemp('boxes') / 'coco', num_classes=3, images=24)
    return ObjectDiscoveryProbe(boxes, boxes.parent / 'images')


def test_objects_of_another_colour_are_found(probe):
    assert probe(MeanColor(PATCH))['corloc'].value == 1


@pytest.mark.parametrize('source', [PositionAlone(SPEC), Constant(PATCH)])
def test_position_and_constants_score_chance(probe, source):
    assert probe.chance(PATCH)['corloc'] < 0.3
    assert probe(source)['corloc'].value <= probe.chance(PATCH)['corloc'] + 0.05


def test_boxes_are_compared_in_pixels_of_the_file(probe):
    half = ObjectDiscoveryProbe.__new__(ObjectDiscoveryProbe)
    half.__dict__ |= vars(probe) | dict(size=32)
    assert half(MeanColor(4))['corloc'].value == 1
