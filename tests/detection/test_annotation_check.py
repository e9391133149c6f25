"""Annotation files that teach nothing, or something wrong, are refused; what is left out is counted."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmdet')

from flsl_mm.detection.coco import FLSLCocoDataset, FLSLCocoMetric
from tests.builders.coco import coco_content

BOXES = [[20, 30, 80, 60], [140, 50, 70, 90]]
LOAD = [dict(type='LoadImageFromFile'), dict(type='mmdet.LoadAnnotations', with_bbox=True)]
LOAD_MASKS = [LOAD[0], dict(LOAD[1], with_mask=True)]


@pytest.fixture
def folder(tmp_path, fresh_logger):
    """Write four images of 256x160 with two objects each."""
    rng = np.random.default_rng(0)
    names = [f'{number}.png' for number in range(1, 5)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (160, 256, 3), dtype=np.uint8)).save(tmp_path / name)
    save(tmp_path, coco_content(names, BOXES, ('box', 'bin'), (256, 160)))
    return tmp_path


def save(folder, content):
    (folder / 'a.json').write_text(json.dumps(content))


def change(folder, edit, every=1):
    content = json.loads((folder / 'a.json').read_text())
    for annotation in content['annotations'][::every]:
        edit(annotation)
    save(folder, content)


def dataset(folder, pipeline=LOAD, **settings):
    paths = dict(data_root=str(folder), ann_file='a.json', data_prefix=dict(img=''))
    return FLSLCocoDataset(**paths, metainfo=dict(classes=('box', 'bin')), pipeline=pipeline, **settings)


def without_outline(annotation):
    del annotation['segmentation']


def scale(factor):
    def edit(annotation):
        annotation['bbox'] = [factor * side for side in annotation['bbox']]
        annotation['segmentation'] = [[factor * side for side in annotation['segmentation'][0]]]

    return edit


def scaled_with_other_ids(annotation):
    scale(2)(annotation)
    annotation['id'] += 70


def corners(annotation):
    x, y, w, h = annotation['bbox']
    annotation['bbox'] = [x, y, x + w, y + h]


def corners_alone(annotation):
    corners(annotation)
    without_outline(annotation)


def moved(annotation):
    annotation['bbox'][0] -= 15


def as_runs(annotation):
    """Write the outline as a mask in runs, down the columns."""
    x, y, w, h = annotation['bbox']
    mask = np.zeros((160, 256), np.uint8)
    mask[y : y + h, x : x + w] = 1
    edges = np.flatnonzero(np.diff(mask.ravel(order='F'), prepend=0, append=0))
    counts = np.diff(edges, prepend=0, append=mask.size).tolist()
    annotation['segmentation'] = dict(size=[160, 256], counts=counts)


def moved_from_runs(annotation):
    as_runs(annotation)
    moved(annotation)


@pytest.mark.parametrize(
    ('edit', 'line'),
    [
        (lambda a: a.update(iscrowd=1), r'0 of 8 objects can be learned; 8 crowds \(iscrowd=1\): set "iscrowd": 0'),
        (lambda a: a.update(area=0), '0 of 8 objects can be learned; 8 of less than a pixel'),
        (lambda a: a.update(bbox=[-90, 0, 80, 9], segmentation=[]), 'have their center outside'),
        (scale(1 / 256), r'its boxes are fractions of the image \(\[0.078, 0.117, 0.312, 0.234\]\): give them in'),
        (scaled_with_other_ids, '4 of 8 boxes have their center outside of the image, annotation 72 for one'),
        (corners, r'its boxes are two corners, x1 y1 x2 y2 \(\[20.0, 30.0, 100.0, 90.0\] in an image of 256x160\)'),
        (corners_alone, 'its boxes are two corners'),
        (moved, r'8 of 8 boxes are not those of their outlines, annotation 1 .*\[20.0, 30.0, 80.0, 60.0\]: export'),
        (moved_from_runs, r'8 of 8 boxes are not those of their outlines, annotation 1 .*\[20.0, 30.0, 80.0, 60.0\]: '),
        (lambda a: a.update(category_id=a['category_id'] - 1), 'have the category ids 0 to 1, its categories 1 to 2'),
        (lambda a: a.update(category_id=a['category_id'] + 1), 'have the category ids 2 to 3, its categories 1 to 2'),
        (lambda a: a.update(category_id=99), r'0 of 8 objects .* 8 of categories that are not listed \(99\)'),
    ],
)
def test_a_file_that_teaches_nothing_or_nonsense_is_refused(folder, edit, line):
    change(folder, edit)
    with pytest.raises(ValueError, match=rf'a\.json: .*{line}'):
        dataset(folder)


@pytest.mark.parametrize(
    ('edit', 'line'),
    [
        (lambda a: a['bbox'].__setitem__(2, 0), '4 objects to learn; left out: 4 of less than a pixel of width'),
        (lambda a: a.update(category_id=99), r'left out: 4 of categories that are not listed \(99\)'),
        (moved, '8 objects to learn; 4 of 8 boxes are not those of their outlines'),
        (moved_from_runs, '8 objects to learn; 4 of 8 boxes are not those of their outlines'),
        (lambda a: a.update(ignore=1), 'left out: 4 marked to be ignored'),
        (lambda a: a.update(image_id=99), '4 objects to learn; left out: 4 of images that are not listed'),
    ],
)
def test_what_is_left_out_is_counted(folder, edit, line, capsys):
    change(folder, edit, every=2)
    assert len(dataset(folder)) == 4
    assert line.replace('\\', '') in capsys.readouterr().out


@pytest.mark.parametrize('edit', [lambda annotation: None, as_runs], ids=['polygons', 'runs'])
def test_a_sound_file_says_nothing(folder, edit, capsys):
    change(folder, edit)
    assert len(dataset(folder, LOAD_MASKS)) == 4
    assert capsys.readouterr().out == ''


def test_masks_need_outlines_in_training_and_in_the_metric(folder):
    change(folder, without_outline, every=8)
    assert len(dataset(folder)) == 4
    line = r'1 of 8 objects have no outline \(segmentation\).*train boxes alone: mask_head=None'
    with pytest.raises(ValueError, match=line):
        dataset(folder, LOAD_MASKS)
    with pytest.raises(ValueError, match='1 of 8 objects have no outline'):
        FLSLCocoMetric(ann_file=str(folder / 'a.json'), metric=['bbox', 'segm'])
    assert FLSLCocoMetric(ann_file=str(folder / 'a.json'))._coco_api.get_ann_ids() == list(range(1, 9))


def test_negative_runs_do_not_reach_pycocotools(folder):
    """Its `iou` would never return: runs of 5, 40960, -10 and 5 pixels, written as COCO writes them."""
    content = json.loads((folder / 'a.json').read_text())
    content['annotations'][0]['segmentation'] = dict(size=[160, 256], counts='5PPX1FUPhN')
    save(folder, content)
    for reader in (dataset, lambda folder: FLSLCocoMetric(ann_file=str(folder / 'a.json'), metric='segm')):
        with pytest.raises(ValueError, match='annotation 1 of image 1 has a mask whose runs do not add up'):
            reader(folder)


def test_files_without_annotations_are_for_testing(folder):
    with pytest.raises(ValueError, match=r'none of the 4 images .* is left after filter_cfg'):
        dataset(folder, filter_cfg=dict(min_size=999))
    content = json.loads((folder / 'a.json').read_text())
    del content['annotations']
    save(folder, content)
    assert len(dataset(folder, test_mode=True)) == 4
    with pytest.raises(ValueError, match='has no annotations, there is nothing to learn'):
        dataset(folder)
