"""Scenes in COCO's layout as a data set."""

import pytest

pytest.importorskip('mmdet')

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.detection.scenes import FLSLScenesCoco
from flsl_mm.scenes.painter import CLASSES


def test_both_splits_are_written_on_first_use(tmp_path):
    settings = dict(data_root=str(tmp_path / 'scenes'), num=3, val_fraction=0.3, size_hw=(32, 48), pipeline=[])
    train, val = (FLSLScenesCoco(**settings, split=split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (2, 1)
    assert train.metainfo['classes'] == CLASSES
    item = train.get_data_info(0)
    assert (item['height'], item['width']) == (32, 48)
    assert {instance['bbox_label'] for instance in item['instances']} <= set(range(len(CLASSES)))
