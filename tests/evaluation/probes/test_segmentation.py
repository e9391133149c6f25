"""Patch segmentation: colors that are the classes score 1, position and constants chance; wrong data in one line."""

import shutil

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from flsl_mm.evaluation.probes.segmentation import SegmentationProbe
from flsl_mm.evaluation.probes.sources import Constant, MeanColor, PositionAlone
from tests.builders.probe_data import PATCH, SPEC, write_segmentation


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_segmentation(tmp_path_factory.mktemp('segmentation') / 'colors')


@pytest.fixture(scope='module')
def probe(folder):
    return SegmentationProbe(folder, ignore_index=9)


def test_colors_that_are_the_classes_score_one_and_what_is_blind_chance(probe):
    scores, chance = probe(MeanColor(PATCH)), probe.chance(PATCH)
    for score in scores.values():
        assert score.value == 1
        assert score.error < 1e-12
        assert score.parts == {'0': 1, '1': 1, '2': 1, '3': 1}
    assert set(scores) == set(probe.rows)
    assert probe.rows['knn_miou'] == 'patch 20-NN mIoU'
    # The classes of patches are drawn one by one: what is known of the place says nothing.
    for source in (PositionAlone(SPEC), Constant(PATCH)):
        for key, score in probe(source).items():
            assert score.value < chance[key] + 0.04
            assert chance[key] == pytest.approx(0.25 * 0.25 / (0.25 + 0.25 - 0.25 * 0.25), abs=0.01)


def test_unannotated_patches_do_not_count(probe):
    train, val = probe.labels(PATCH)
    assert all(labels[0] == 9 for labels in (*train, *val))
    assert all((labels[1:] < 4).all() for labels in (*train, *val))


def test_the_bank_is_drawn_from_all_images(folder):
    probe = SegmentationProbe(folder, ignore_index=9, bank_size=60)
    train, _ = probe.labels(PATCH)
    drawn = probe._draw(train)
    assert sum(map(len, drawn)) == 60
    assert sum(len(part) > 0 for part in drawn) >= 10
    assert all((labels[part] != 9).all() for labels, part in zip(train, drawn, strict=True))
    again, other = probe._draw(train), SegmentationProbe(folder, ignore_index=9, bank_size=60, seed=1)._draw(train)
    assert torch.equal(torch.cat(drawn), torch.cat(again))
    assert not torch.equal(torch.cat(drawn), torch.cat(other))
    assert probe(MeanColor(PATCH))['knn_miou'].value > 0.9


def test_limit_and_names(folder):
    probe = SegmentationProbe(folder, ignore_index=9, limit=5, class_names=['sky', 'road', 'car', 'tree'])
    assert (len(probe.train), len(probe.val), len(probe.images)) == (5, 5, 5)
    assert list(probe(MeanColor(PATCH))['knn_miou'].parts) == ['sky', 'road', 'car', 'tree']


def test_masks_follow_the_size_of_the_images(folder):
    probe = SegmentationProbe(folder, ignore_index=9, size=32)
    train, _ = probe.labels(4)
    assert train[0].shape == (64,)
    full, _ = SegmentationProbe(folder, ignore_index=9).labels(PATCH)
    assert torch.equal(train[0], full[0])


@pytest.mark.parametrize('length', [0, 80])
def test_an_unreadable_image_is_skipped_and_named(folder, tmp_path, length):
    """Without a header, and with nothing after it."""
    damaged = shutil.copytree(folder, tmp_path / 'damaged')
    path = damaged / 'images/train/3.png'
    path.write_bytes(path.read_bytes()[:length])
    probe = SegmentationProbe(damaged, ignore_index=9)
    assert probe(MeanColor(PATCH))['linear_miou'].value == 1
    assert list(probe.skipped) == [str(path)]


def test_without_a_readable_image_there_is_no_figure(folder, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / 'damaged')
    for path in (damaged / 'images/val').iterdir():
        path.write_bytes(b'')
    with pytest.raises(ValueError, match=r'none of the 12 images below .*images/val can be read'):
        SegmentationProbe(damaged, ignore_index=9)(MeanColor(PATCH))


def test_an_image_on_its_side_has_the_size_that_it_is_shown_with(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / 'copy')
    turned = Image.new('RGB', (48, 64))
    exif = turned.getexif()
    exif[ExifTags.Base.Orientation] = 6
    turned.save(copy / 'images/val/2.png', exif=exif)
    with pytest.raises(ValueError, match='is 64x64 and its image 64x48'):
        SegmentationProbe(copy, ignore_index=9)


def spoil_mask(array):
    return lambda folder: Image.fromarray(array).save(folder / 'annotations/val/2.png')


@pytest.mark.parametrize(
    ('spoil', 'options', 'line'),
    [
        (lambda folder: shutil.rmtree(folder / 'annotations'), {}, r'no mask .*annotations/train/0\.png of'),
        (lambda folder: shutil.rmtree(folder / 'images/val'), {}, 'no image folder .*images/val: segmentation'),
        (spoil_mask(np.zeros((64, 32), np.uint8)), {}, r'mask .*val/2\.png is 32x64 and its image 64x64'),
        (spoil_mask(np.zeros((64, 64, 3), np.uint8)), {}, 'image of mode RGB: masks hold one number per pixel'),
        (lambda folder: (folder / 'annotations/val/2.png').write_bytes(b'x'), {}, 'cannot be read'),
        (lambda folder: None, dict(num_classes=2), r'has class 3, and the last of 2 classes is 1: set the number'),
        (spoil_mask(np.full((64, 64), 60_000, np.uint16)), {}, r'has class 60000: set the number of classes'),
        (lambda folder: None, dict(num_classes=4, class_names=['a']), '1 class names for 4 classes'),
    ],
)
def test_wrong_data_is_said_in_one_line(folder, tmp_path, spoil, options, line):
    copy = shutil.copytree(folder, tmp_path / 'copy')
    spoil(copy)
    with pytest.raises((ValueError, OSError), match=line) as caught:
        SegmentationProbe(copy, ignore_index=9, **options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('num_classes', [None, 2])
def test_masks_of_0_and_255_are_one_class_which_every_answer_gets_right(folder, tmp_path, num_classes):
    copy = shutil.copytree(folder, tmp_path / 'copy')
    for path in copy.glob('annotations/*/*.png'):
        Image.fromarray(np.where(np.array(Image.open(path)) == 1, 255, 0).astype(np.uint8)).save(path)
    line = r'have one class \(0\) beside 255, which is not counted, .*masks of 0 and 255 become 0 and 1'
    with pytest.raises(ValueError, match=line):
        SegmentationProbe(copy, num_classes=num_classes)
    assert SegmentationProbe(copy, ignore_index=-1).num_classes == 256
