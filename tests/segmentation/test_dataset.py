"""Folders of images and masks: what is read, and one line for everything that is wrong."""

import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmseg')

from mmengine.registry import DefaultScope

from flsl_mm.scenes.painter import render_scene
from flsl_mm.scenes.segmentation import class_map
from flsl_mm.segmentation import FLSLADE20KDataset, FLSLCamVidDataset, FLSLScenesSegmentation, FLSLSegmentationDataset
from tests.builders.segmentors import CLASSES, write_folder

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='FLSLLoadSegmentation'), dict(type='PackSegInputs')]


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / 'data')


def build(folder, **options):
    settings = dict(metainfo=dict(classes=CLASSES), unlabeled=[11], pipeline=PIPELINE)
    return FLSLSegmentationDataset(data_root=str(folder), **settings | options)


def test_masks_are_read_and_unlabeled_pixels_do_not_count(folder):
    item = build(folder)[1]
    mask = np.asarray(Image.open(folder / 'annotations/train/1.png'))
    truth = item['data_samples'].gt_sem_seg.data[0].numpy()
    assert (truth[:8] == 255).all()
    assert np.array_equal(truth[8:], mask[8:])
    assert tuple(item['inputs'].shape) == (3, 40, 48)


def test_camvid_has_eleven_classes_and_leaves_the_twelfth_out(folder):
    dataset = FLSLCamVidDataset(data_root=str(folder), split='val', pipeline=PIPELINE, test_mode=True)
    assert (len(dataset), len(dataset.metainfo['classes']), len(dataset.metainfo['palette'])) == (4, 11, 11)
    assert (dataset[0]['data_samples'].gt_sem_seg.data[0, :8] == 255).all()


def test_scenes_are_written_on_first_use(tmp_path):
    settings = dict(num=4, seed=3, size_hw=(48, 64), pipeline=PIPELINE)
    train = FLSLScenesSegmentation(str(tmp_path / 'scenes'), **settings)
    val = FLSLScenesSegmentation(str(tmp_path / 'scenes'), split='val', **settings)
    assert (len(train), len(val)) == (3, 1)
    expected = class_map(render_scene(3, 2, (48, 64)))
    assert np.array_equal(train[2]['data_samples'].gt_sem_seg.data[0].numpy(), expected)
    assert len(train.metainfo['classes']) == len(train.metainfo['palette']) == 7


def break_mask(folder, content):
    Image.fromarray(content).save(folder / 'annotations/train/0.png')


@pytest.mark.parametrize(
    ('spoil', 'line'),
    [
        (lambda f: shutil.rmtree(f / 'images/train'), 'no folder .*images/train: set data_root'),
        (lambda f: shutil.rmtree(f / 'annotations/train'), 'no folder .*annotations/train: set data_root'),
        (lambda f: (f / 'annotations/train/2.png').unlink(), r'no mask .*2.png of .*2.jpg \(1 of 4 are missing\)'),
        (lambda f: [path.unlink() for path in (f / 'images/train').iterdir()], r'no \*.jpg in .*set img_suffix'),
        (lambda f: break_mask(f, np.full((40, 48), 7, np.uint8)), '0.png has class 7, and the last of 3 classes is 2'),
        (lambda f: break_mask(f, np.zeros((40, 48, 3), np.uint8)), '0.png is a color image'),
        (lambda f: break_mask(f, np.zeros((20, 48), np.uint8)), '0.png is 48x20 and its image 48x40'),
    ],
    ids=['no images', 'no masks', 'a mask less', 'other suffix', 'a class more', 'colors', 'another size'],
)
def test_wrong_data_is_named(folder, spoil, line):
    spoil(folder)
    with pytest.raises((FileNotFoundError, ValueError), match=line):
        build(folder)[0]


def test_classes_that_cannot_be(folder, tmp_path):
    with pytest.raises(ValueError, match="classes='red', one string"):
        build(folder, metainfo=dict(classes='red'))
    for path in (folder / 'annotations/train').iterdir():
        Image.fromarray(np.where(np.array(Image.open(path)) == 1, 255, 0).astype(np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'train/0.png have one class \(0\) beside 255, which does not count'):
        build(folder, metainfo=dict(classes=('background', 'object')), unlabeled=[])
    prefix = dict(img_path='images/training', seg_map_path='annotations/training')
    with pytest.raises(FileNotFoundError, match='images/training: set data_root and data_prefix of FLSLADE20KDataset'):
        FLSLADE20KDataset(data_root=str(tmp_path / 'ade'), data_prefix=prefix)
