"""Classification of the mean token on class folders."""

import math
import shutil

import pytest

from flsl_mm.evaluation.probes.classification import ClassificationProbe
from flsl_mm.evaluation.probes.sources import Constant, MeanColor, PositionAlone
from tests.builders.probe_data import PATCH, SPEC, write_classes


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp('classes') / 'colors')


def test_colors_that_are_the_classes_score_one_and_what_is_blind_chance(folder):
    probe = ClassificationProbe(folder)
    score = probe(MeanColor(PATCH))['knn_accuracy']
    assert (score.value, score.error) == (1, 0)
    assert probe.chance(PATCH)['knn_accuracy'] == pytest.approx(1 / 3)
    for source in (PositionAlone(SPEC), Constant(PATCH)):
        assert probe(source)['knn_accuracy'].value <= 1 / 3 + 1e-9


def test_limit_draws_from_all_classes(folder):
    probe = ClassificationProbe(folder, limit=20)
    assert (len(probe.train), len(probe.images)) == (20, 20)
    assert set(probe.train_labels.tolist()) == {0, 1, 2}


def test_unreadable_images_are_skipped_and_named(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / 'copy')
    for path in (copy / 'val/class1').iterdir():
        path.write_bytes(b'x')
    probe = ClassificationProbe(copy)
    score = probe(MeanColor(PATCH))['knn_accuracy']
    assert score.value == 1
    assert not math.isnan(score.error)
    assert len(probe.skipped) == 12


@pytest.mark.parametrize(
    ('spoil', 'line'),
    [
        (lambda folder: shutil.rmtree(folder / 'val'), 'no folder .*val: classification needs train/CLASS/IMAGE'),
        (lambda folder: shutil.rmtree(folder / 'train/class1'), 'class class1 is in .*val and not in .*train'),
        (lambda folder: [p.unlink() for p in (folder / 'train/class1').iterdir()], 'no image in the folder .*class1'),
        (lambda folder: [shutil.rmtree(p) for p in (folder / 'val').iterdir()], 'no class folder in .*val'),
    ],
)
def test_wrong_data_is_said_in_one_line(folder, tmp_path, spoil, line):
    copy = shutil.copytree(folder, tmp_path / 'copy')
    spoil(copy)
    with pytest.raises((ValueError, OSError), match=line) as caught:
        ClassificationProbe(copy)
    assert '\n' not in str(caught.value)
