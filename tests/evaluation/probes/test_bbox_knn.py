"""The bbox-aligned k-NN on made COCO files."""

import pytest

from flsl_mm.evaluation.probes.bbox_knn import BBoxKNNProbe
from flsl_mm.evaluation.probes.sources import Constant, MeanColor, PositionAlone
from tests.builders.probe_data import COLORS, SPEC, write_boxes


@pytest.fixture(scope='module')
def boxes(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp('boxes') / 'coco')


@pytest.fixture(scope='module')
def probe(boxes):
    return BBoxKNNProbe(boxes, boxes.parent / 'images', k=(1, 5))


def test_colors_that_are_the_categories_score_one(boxes, tmp_path):
    """Two files: every category is known."""
    val = write_boxes(tmp_path / 'val', seed=3)
    probe = BBoxKNNProbe(boxes, boxes.parent / 'images', val, val.parent / 'images', k=(1, 5))
    scores = probe(MeanColor(16))
    assert {key: score.value for key, score in scores.items()} == dict.fromkeys(probe.rows, 1)
    assert list(probe.rows) == ['top1_k1', 'top5_k1', 'top1_k5', 'top5_k5']


@pytest.mark.parametrize('source', [PositionAlone(SPEC), Constant(8)])
def test_position_and_constants_score_chance(probe, source):
    chance = probe.chance(8)
    assert chance['top1_k1'] < 0.7
    assert probe(source)['top1_k1'].value <= chance['top1_k1'] + 0.05


def test_halves_of_one_file_share_no_image(probe):
    known, queries = ({str(target) for target in part} for part in (probe.known, probe.queries))
    assert len(known) == len(queries) == 40
    assert not known & queries


def test_boxes_in_the_square_in_the_middle(probe):
    """64 pixels become 256, of which 224 are kept: a box at (8, 8) starts at 4 x 8 - 16."""
    target = probe.known[0]
    left, top = target.image.boxes[0, :2].tolist()
    assert target.box[:2].tolist() == pytest.approx([4 * left - 16, 4 * top - 16])
    assert target.read().shape == (3, 224, 224)
    x, y = (int(center) for center in (target.box[:2] + target.box[2:]) / 2)
    assert target.read()[:, y, x].tolist() == pytest.approx((COLORS[target.label] / 255).tolist(), abs=0.02)


def test_official_counting_is_an_option(boxes):
    official = BBoxKNNProbe(boxes, boxes.parent / 'images', k=(5,), official=True)
    assert official.chance(8)['top5_k5'] > 1
    assert "the original's counting" in official.title


def test_what_does_not_fit_is_said(boxes, tmp_path, probe):
    with pytest.raises(ValueError, match='224 pixels, which are not a multiple of the patch size 12'):
        probe.chance(12)
    single = write_boxes(tmp_path / 'single', num_classes=1, images=4)
    with pytest.raises(ValueError, match='one category only'):
        BBoxKNNProbe(single, single.parent / 'images')
    with pytest.raises(ValueError, match='other categories'):
        BBoxKNNProbe(boxes, boxes.parent / 'images', single, single.parent / 'images')
