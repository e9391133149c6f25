"""Masks and boxes that do not lie at their images are found before compiled code sees them."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from flsl_mm.detection.annotations import check_shapes, read_annotations
from flsl_mm.detection.coco import FLSLCocoMetric

TRIANGLE = [1, 2, 9.5, 2, 5, 7]
NO_POLYGON = 'a polygon that is not three or more points'


def content(**annotation) -> dict:
    """Make a file of one image of 20x10 and one annotation."""
    annotations = [dict(dict(id=7, image_id=3, bbox=[1, 2, 8, 5], segmentation=[TRIANGLE]), **annotation)]
    return dict(images=[dict(id=3, height=10, width=20)], annotations=annotations)


def compressed(height: int = 10, width: int = 20) -> dict:
    code = coco_mask.encode(np.asfortranarray(np.eye(height, width, dtype=np.uint8)))
    return dict(size=[height, width], counts=code['counts'].decode())


def test_sound_annotations():
    check_shapes(content())
    runs = dict(size=[10, 20], counts=[5, 195])
    for segmentation in ([], None, [[-3, -1.5, 22, 0, 5, 12]], compressed(), runs):
        check_shapes(content(segmentation=segmentation))


@pytest.mark.parametrize(
    ('annotation', 'problem'),
    [
        (dict(segmentation=[[1e9, 1e9, 5, 5, 9, 1]]), 'a polygon far outside its image of 20x10'),
        (dict(segmentation=[TRIANGLE, [0, 0, 9, -11, 3, 3]]), 'a polygon far outside'),
        *((dict(segmentation=[[1, 2, side, 3, 4, 5]]), NO_POLYGON) for side in (math.nan, math.inf, 10**400, '1')),
        (dict(segmentation=[[1, 2, 3]]), NO_POLYGON),
        (dict(segmentation='text'), NO_POLYGON),
        (dict(segmentation=compressed(9, 20)), r'a mask of size \[9, 20\] for an image of height 10 and width 20'),
        (dict(segmentation=dict(compressed(9, 20), size=[10, 20])), 'a mask whose runs do not add up'),
        (dict(segmentation=dict(size=[10, 20], counts='\x7f\x7f')), 'a mask whose runs do not add up'),
        (dict(segmentation=dict(size=[10, 20], counts=[5, 194])), 'a mask whose runs do not add up'),
        (dict(segmentation=dict(size=[10, 20], counts=[-5, 205])), 'a mask without runs'),
        (dict(segmentation=dict(size=[10, 20])), 'a mask without runs'),
        (dict(bbox=[0, 0, 1e9, 1]), 'a bbox far outside its image of 20x10'),
        (dict(area=1e12), 'the area 1e\\+12 in an image of 20x10: write it in square pixels'),
        (dict(area=-5), 'the area -5 in an image'),
    ],
)
def test_wrong_annotations_are_named(annotation, problem):
    with pytest.raises(ValueError, match=rf'annotation 7 of image 3 has {problem}') as error:
        check_shapes(content(**annotation))
    assert len(str(error.value)) < 200


@pytest.mark.parametrize('size', [0, -1, 1e9, 10**9, '20'])
def test_images_of_absurd_sizes(size):
    for side in ('width', 'height'):
        broken = content()
        broken['images'][0][side] = size
        with pytest.raises(ValueError, match='image 3 has the size'):
            check_shapes(broken)


def test_what_mmdet_and_pycocotools_read_is_read(tmp_path):
    """A byte order mark, sizes as 20.0, a part of two points, an orphan, a namesake of no annotation, no outline."""
    found = content(segmentation=[[1, 1, 9, 9], TRIANGLE], category_id=2, area=9)
    found['images'][0].update(width=20.0, file_name='a.jpg')
    found['annotations'].append(dict(found['annotations'][0], id=8, image_id=99))
    found['annotations'].append(dict(found['annotations'][0], id=9, segmentation=None))
    found['categories'] = [dict(id=0, name='cat'), dict(id=2, name='cat')]
    (tmp_path / 'a.json').write_bytes(b'\xef\xbb\xbf' + json.dumps(found).encode())
    read = read_annotations(tmp_path / 'a.json')
    assert read.content['categories'] == [dict(id=2, name='cat')]
    assert (read.orphans, read.short_parts) == (1, 1)
    assert [annotation.get('segmentation') for annotation in read.content['annotations']] == [[TRIANGLE], None]
    assert read.boxes.tolist() == [[1, 2, 8, 5]] * 2
    np.testing.assert_array_equal(read.bounds, [[1, 2, 9.5, 7], [np.nan] * 4])
    assert type(read.content['images'][0]['width']) is int

    # Ids that are text in one list alone are named.
    for annotation in found['annotations']:
        annotation['image_id'] = '3'
    (tmp_path / 'a.json').write_text(json.dumps(found))
    with pytest.raises(ValueError, match="image_id '3', ids such as 3: write both as numbers"):
        read_annotations(tmp_path / 'a.json')
    del found['annotations']
    (tmp_path / 'a.json').write_text(json.dumps(found))
    assert read_annotations(tmp_path / 'a.json').content['annotations'] == []


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        (
            lambda found: found['images'].append(dict(found['images'][0], id=4, file_name='b/.././a.jpg')),
            r"images\[1\] \(id 4\) has the file_name of an earlier one, 'b/\.\./\./a\.jpg'",
        ),
        (
            lambda found: found['annotations'][0].update(iscrowd='0'),
            r"annotations\[0\] \(id 7\) has neither 0 nor 1 as iscrowd: '0'",
        ),
    ],
)
def test_what_would_be_taken_for_something_else_is_named(change, problem, tmp_path):
    found = content(category_id=2, area=9)
    found['images'][0]['file_name'] = 'a.jpg'
    change(found)
    (tmp_path / 'a.json').write_text(json.dumps(dict(found, categories=[dict(id=2, name='cat')])))
    with pytest.raises(ValueError, match=problem):
        read_annotations(tmp_path / 'a.json')


@pytest.mark.parametrize('ids', [[0, 1, 2], [1, 2, 3], ['a', 'b', 'c'], [-1, 0, 10**30]])
def test_true_boxes_score_one_whatever_the_ids_of_annotations(ids, tmp_path):
    boxes = [[10.0 * number, 2, 8, 7] for number in range(3)]
    annotations = [
        dict(id=number, image_id=0, category_id=0, area=56, bbox=box) for number, box in zip(ids, boxes, strict=True)
    ]
    image = dict(id=0, file_name='a.jpg', height=40, width=40)
    truth = dict(images=[image], annotations=annotations, categories=[dict(id=0, name='cat')])
    (tmp_path / 'a.json').write_text(json.dumps(truth))
    metric = FLSLCocoMetric(ann_file=str(tmp_path / 'a.json'), metric=['bbox'])
    metric.dataset_meta = dict(classes=['cat'])
    corners = torch.tensor([[x, y, x + width, y + height] for x, y, width, height in boxes])
    found = dict(bboxes=corners, scores=torch.ones(3), labels=torch.zeros(3, dtype=torch.long))
    metric.process({}, [dict(img_id=0, ori_shape=(40, 40), pred_instances=found)])
    assert metric.evaluate(1)['coco/bbox_mAP'] == 1


NUMBERS = st.integers(-50, 50) | st.floats() | st.sampled_from([10**9, -(10**9), 2**63, '1', None, True])
SHAPES = (
    st.lists(st.lists(NUMBERS, max_size=8), max_size=3)
    | st.builds(dict, size=st.just([10, 20]), counts=st.text(st.characters(max_codepoint=127)) | st.lists(NUMBERS))
    | NUMBERS
)


@given(shape=SHAPES, box=st.lists(NUMBERS, max_size=5))
@settings(max_examples=200, deadline=None)
def test_what_passes_does_not_crash_pycocotools(shape, box):
    broken = content(segmentation=shape, bbox=box)
    try:
        check_shapes(broken)
    except (ValueError, TypeError):
        return
    json.dumps(broken)
    shape = shape or [TRIANGLE]
    codes = coco_mask.frPyObjects(shape, 10, 20)
    coco_mask.decode(coco_mask.merge(codes) if isinstance(codes, list) else codes)
