"""Scenes in COCO's layout are written once, by one process, and used as they are afterwards."""

import pytest

pytest.importorskip('mmdet')

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.detection.scenes import FLSLScenesCoco
from flsl_mm.scenes.painter import CLASSES


def dataset(root, **settings):
    return FLSLScenesCoco(data_root=str(root), num=3, val_fraction=0.3, size_hw=(32, 48), pipeline=[], **settings)


def test_both_splits_are_written_on_first_use(tmp_path):
    train, val = (dataset(tmp_path / 'scenes', split=split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (2, 1)
    assert train.metainfo['classes'] == CLASSES
    item = train.get_data_info(0)
    assert (item['height'], item['width']) == (32, 48)
    assert {instance['bbox_label'] for instance in item['instances']} <= set(range(len(CLASSES)))


def test_a_tree_that_is_there_is_used_as_it_is(tmp_path):
    dataset(tmp_path / 'scenes')
    other = FLSLScenesCoco(data_root=str(tmp_path / 'scenes'), num=20, seed=5, pipeline=[])
    assert len(other) == 2
