"""UAVDT as COCO's JSON: every box, class, code and region comes back, however the tree is read; files appear whole."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from pycocotools import mask as coco_mask

from flsl_mm.uavdt.convert import CLASSES, CocoSplitWriter, format_counts, read_sequences, rectangle
from flsl_mm.uavdt.layout import UAVDTFrames, UAVDTSequence, find_sequences
from tests.builders.uavdt_tree import write_sequence

BOXES = [(1, 7, 4, 5, 20, 10, 1, 4, 1), (1, 8, 30, 5, 9, 9, 2, 2, 3), (3, 7, 5, 6, 20, 10, 3, 1, 2)]
REGIONS = [(1, 1, 40, 30, 20, 10, 1, -1, -1), (2, 1, 41, 30, 20, 10, 1, -1, -1)]


def convert(frames_list, classes=CLASSES['three']):
    file = io.StringIO()
    writer = CocoSplitWriter(file, classes, dict(description='test'))
    for frames in frames_list:
        writer.add(frames)
    writer.finish()
    return json.loads(file.getvalue()), writer.counts


@pytest.fixture
def tree(tmp_path):
    write_sequence(tmp_path, 'M0101', BOXES, REGIONS, frames=3, split='train')
    write_sequence(tmp_path, 'M0201', [], None, frames=1, size=(33, 21))
    write_sequence(tmp_path, 'M0202', [(2, 1, 1.5, 2, 3, 4, 1, 1, 2)], frames=2)
    return tmp_path


@pytest.mark.parametrize('workers', [0, 2])
def test_everything_comes_back(tree, workers):
    content, _ = convert(read_sequences(tree, find_sequences(tree), 1, workers))
    images = {image['id']: image for image in content['images']}
    assert sorted(images) == [1, 2, 3, 4, 5, 6]
    where = [(image['sequence'], image['frame'], image['width'], image['height']) for image in images.values()]
    first = [('M0101', frame, 64, 48) for frame in (1, 2, 3)]
    assert where == [*first, ('M0201', 1, 33, 21), ('M0202', 1, 64, 48), ('M0202', 2, 64, 48)]
    assert all((tree / image['file_name']).is_file() for image in images.values())
    names = ('car', 'truck', 'bus')
    assert content['categories'] == [dict(id=i, name=name, supercategory='vehicle') for i, name in enumerate(names, 1)]
    splits = {name: sequence['split'] for name, sequence in content['sequences'].items()}
    assert splits == dict.fromkeys(('M0101', 'M0201', 'M0202'), 'train')
    assert content['sequences']['M0101']['attributes']['side_view'] is True
    assert content['sequences']['M0201']['attributes'] is None

    annotations = content['annotations']
    assert [annotation['id'] for annotation in annotations] == list(range(1, 7))
    objects = [annotation for annotation in annotations if not annotation['iscrowd']]
    codes = ('track_id', 'bbox', 'out_of_view', 'occlusion', 'category_id')
    assert [(item['image_id'], *(item[code] for code in codes)) for item in objects] == [
        (1, 7, [4, 5, 20, 10], 1, 4, 1),
        (1, 8, [30, 5, 9, 9], 2, 2, 3),
        (3, 7, [5, 6, 20, 10], 3, 1, 2),
        (6, 1, [1.5, 2, 3, 4], 1, 1, 2),
    ]
    regions = [annotation for annotation in annotations if annotation['iscrowd']]
    assert [(item['image_id'], item['bbox']) for item in regions] == [(1, [40, 30, 20, 10]), (2, [41, 30, 20, 10])]
    for annotation in annotations:
        *_, width, height = annotation['bbox']
        assert annotation['area'] == width * height
        # The mask is the box.
        size = (images[annotation['image_id']][side] for side in ('height', 'width'))
        code = coco_mask.merge(coco_mask.frPyObjects(annotation['segmentation'], *size))
        if annotation['bbox'][0] != 1.5:
            assert coco_mask.toBbox(code).tolist() == annotation['bbox']
            assert coco_mask.area(code) == annotation['area']


def test_counts_and_all_vehicles_as_one_class(tree):
    write_sequence(tree, 'M0204', [(1, i, 1, 2, 3, 4, 1, 1, 1) for i in range(3)], frames=1)
    _, counts = convert(read_sequences(tree, find_sequences(tree), 1, 0))
    assert (counts.frames, counts.regions) == (7, 2)
    assert counts.boxes.tolist() == [4, 2, 1]
    assert counts.frames_with.tolist() == [2, 2, 1]
    assert rectangle(1, 2, 10, 20) == [1, 2, 11, 2, 11, 22, 1, 22]
    text = format_counts(dict(train=counts, test=counts), CLASSES['three'])
    assert [line.split() for line in text.splitlines()[:3]] == [
        ['split', 'class', 'frames', 'boxes', 'ignore', 'regions'],
        ['train', 'all', '7', '7', '2'],
        ['car', '2', '4'],
    ]
    assert 'left out' not in text
    content, of_one = convert(read_sequences(tree, find_sequences(tree), 1, 0), CLASSES['vehicle'])
    assert content['categories'] == [dict(id=1, name='vehicle', supercategory='vehicle')]
    assert {annotation['category_id'] for annotation in content['annotations']} == {1}
    assert of_one.boxes.tolist() == [7]
    counts.outside += (1, 3)
    assert format_counts(dict(test=counts), CLASSES['three']).endswith('outside their image: 1 boxes, 3 ignore regions')


def test_pycocotools_and_mmdet_take_it(tree):
    pytest.importorskip('mmdet')
    from flsl_mm.detection.coco import FLSLCocoDataset

    init_default_scope('mmdet')  # as mmdet's configs do; other tests may have left another one
    content, _ = convert(read_sequences(tree, find_sequences(tree), 1, 0))
    (tree / 'train.json').write_text(json.dumps(content))
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
    pipeline = [dict(type='LoadImageFromFile'), load, dict(type='PackDetInputs')]
    paths = dict(ann_file='train.json', data_root=str(tree), data_prefix=dict(img=''), pipeline=pipeline)
    metainfo = dict(classes=('car', 'truck', 'bus'))
    dataset = FLSLCocoDataset(**paths, metainfo=metainfo, filter_cfg=dict(filter_empty_gt=False))
    assert len(dataset) == 6
    sample = dataset[0]['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[4, 5, 24, 15], [30, 5, 39, 14]]
    assert sample.gt_instances.labels.tolist() == [0, 2]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[40, 30, 60, 40]]
    assert sample.gt_instances.masks.get_bboxes('hbox').tensor.tolist() == [[4, 5, 24, 15], [30, 5, 39, 14]]


bounds = ((1, 5), (0, 99), (0, 30), (0, 30), (1, 18), (1, 18), (1, 3), (1, 4), (1, 3))
row = st.tuples(*(st.integers(*bound) for bound in bounds))


@settings(max_examples=50)
@given(st.lists(row, max_size=12), st.lists(row, max_size=6), st.integers(0, 3))
def test_any_boxes_come_back(boxes, regions, empty_before):
    boxes, regions = (sorted(rows, key=lambda values: values[0]) for rows in (boxes, regions))

    def frames(name, boxes, regions):
        return UAVDTFrames(
            UAVDTSequence(name, 'train', None),
            np.arange(1, 6),
            tuple(f'{name}/{number}.jpg' for number in range(1, 6)),
            np.full((5, 2), 48),
            np.array(boxes, float).reshape(-1, 9),
            np.array([values[:6] for values in regions], float).reshape(-1, 6),
            (0, 0),
        )

    content, counts = convert([*[frames('none', [], [])] * empty_before, frames('M0101', boxes, regions)])
    numbers = {image['id']: image['frame'] for image in content['images'] if image['sequence'] == 'M0101'}
    assert len(content['images']) == 5 * (empty_before + 1)
    found = [
        (numbers[a['image_id']], a['track_id'], *a['bbox'], a['out_of_view'], a['occlusion'], a['category_id'])
        for a in content['annotations']
        if not a['iscrowd']
    ]
    assert found == boxes
    crowd = [(numbers[a['image_id']], a['track_id'], *a['bbox']) for a in content['annotations'] if a['iscrowd']]
    assert crowd == [values[:6] for values in regions]
    assert counts.boxes.sum() == len(boxes)
