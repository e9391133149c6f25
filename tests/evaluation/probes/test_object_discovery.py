"""Object discovery on made COCO files."""

import json

import numpy as np
import pytest
from PIL import Image

from flsl_mm.evaluation.probes.object_discovery import ObjectDiscoveryProbe
from flsl_mm.evaluation.probes.sources import Constant, MeanColor, PositionAlone
from tests.builders.probe_data import PATCH, SPEC, write_boxes


@pytest.fixture(scope='module')
def probe(tmp_path_factory):
    # Black, blue, green: far from white.
    boxes = write_boxes(tmp_path_factory.mktemp('boxes') / 'coco', num_classes=3, images=24)
    return ObjectDiscoveryProbe(boxes, boxes.parent / 'images')


def test_objects_of_another_color_are_found_and_what_is_blind_scores_chance(probe):
    assert probe(MeanColor(PATCH))['corloc'].value == 1
    assert probe.chance(PATCH)['corloc'] < 0.3
    for source in (PositionAlone(SPEC), Constant(PATCH)):
        assert probe(source)['corloc'].value <= probe.chance(PATCH)['corloc'] + 0.05


def test_boxes_are_compared_in_pixels_of_the_file(probe):
    half = ObjectDiscoveryProbe.__new__(ObjectDiscoveryProbe)
    half.__dict__ |= vars(probe) | dict(size=32)
    assert half(MeanColor(4))['corloc'].value == 1


@pytest.mark.parametrize(('width', 'height'), [(160, 64), (64, 160)])
def test_boxes_of_images_that_are_not_square(tmp_path, width, height):
    """Wide and high: rows and columns do not change places, and each side has its own scale."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    left, top = width - 40, height - 48
    pixels[top : top + 32, left : left + 24] = 0
    Image.fromarray(pixels).save(tmp_path / '0.png')
    image = dict(id=0, file_name='0.png', width=width, height=height)
    box = dict(image_id=0, category_id=1, bbox=[left, top, 24, 32])
    content = dict(images=[image], annotations=[box], categories=[dict(id=1, name='black')])
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    for size in (None, 32):
        assert ObjectDiscoveryProbe(tmp_path / 'coco.json', tmp_path, size)(MeanColor(4))['corloc'].value == 1
