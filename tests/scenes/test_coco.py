"""The COCO tree reads back as what was rendered."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flsl_mm.scenes.coco import MIN_VISIBLE_PIXELS, coco_annotations, write_coco
from flsl_mm.scenes.painter import CLASSES, Scene, render_scene
from tests.builders.scene_trees import REQUESTS, assert_jpeg_of


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('coco')
    return root, write_coco(root, REQUESTS['coco'])


@pytest.mark.parametrize('split', ['train', 'val'])
def test_it_reads_back(tree, split):
    tree, written = tree
    coco = COCO(tree / 'annotations' / f'instances_{split}.json')
    line = f'{len(coco.getImgIds())} images, {len(coco.getAnnIds())} objects of 6 classes'
    assert written.lines[split == 'val'] == f'{split}: {line}'
    assert len(written.previews) == 4
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert len(coco.getImgIds()) == {'train': 3, 'val': 1}[split]
    for image in coco.loadImgs(coco.getImgIds()):
        scene = render_scene(3, image['id'], (48, 64), split)
        assert_jpeg_of(tree / split / image['file_name'], scene.image)
        assert (image['height'], image['width']) == (48, 64)
        found = np.zeros((48, 64), np.int32)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image['id'])):
            mask = coco.annToMask(annotation).astype(bool)
            (number,) = np.unique(scene.instance_map[mask])
            found[mask] = number
            assert annotation['category_id'] == scene.labels[number - 1] + 1
            assert annotation['area'] == mask.sum() >= MIN_VISIBLE_PIXELS
            assert annotation['bbox'] == coco_mask.toBbox(coco.annToRLE(annotation)).tolist()
            assert annotation['iscrowd'] == 0
        numbers, areas = np.unique(scene.instance_map, return_counts=True)
        large = np.isin(scene.instance_map, numbers[areas >= MIN_VISIBLE_PIXELS])
        np.testing.assert_array_equal(found, scene.instance_map * large)


def test_slivers_are_left_out():
    instance_map = np.zeros((32, 32), np.int32)
    instance_map[0, :15] = 1
    instance_map[1, :16] = 2
    scene = Scene(np.zeros((32, 32, 3), np.uint8), instance_map, np.array([4, 5]), outlines=())
    (annotation,) = coco_annotations(scene, image_id=7, first_id=9)
    assert (annotation['id'], annotation['image_id'], annotation['category_id']) == (9, 7, 6)
    assert annotation['bbox'] == [0, 1, 16, 1]
