"""COCO-style data: frames of clips, and one clear line for what is wrong with the annotations."""

import json

import pytest

pytest.importorskip('mmdet')

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.detection.coco import FLSLCocoDataset, select_frames


def write_annotations(folder, categories=('cat',), num_frames=3):
    names = [f'{clip}/{frame}.jpg' for clip in ('b', 'a') for frame in range(num_frames)]
    images = [dict(id=i, file_name=name, width=20, height=10) for i, name in enumerate(names)]
    annotations = [
        dict(id=i + 1, image_id=i, category_id=7, bbox=[1, 2, 5, 6], area=30, iscrowd=0) for i in range(len(names))
    ]
    listed = [dict(id=7 + i, name=name) for i, name in enumerate(categories)]
    (folder / 'annotations.json').write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=listed))
    )


def dataset(folder, classes=('cat',), **settings):
    metainfo = dict(classes=classes) if classes else None
    paths = dict(data_root=str(folder), ann_file='annotations.json', data_prefix=dict(img=''))
    return FLSLCocoDataset(**paths, metainfo=metainfo, pipeline=[], **settings)


def test_frames_are_selected_by_name_within_each_folder():
    names = ['b/2.jpg', 'b/1.jpg', 'a/1.jpg', 'b/3.jpg', 'a/2.jpg']
    assert select_frames(names, None, 1) == [1, 2]
    assert select_frames(names, -1, None) == [3, 4]
    assert select_frames(names, 2, None) == [3]


def test_dataset_takes_the_chosen_frames(tmp_path):
    write_annotations(tmp_path)
    assert len(dataset(tmp_path)) == 6
    part = dataset(tmp_path, frames=(-1, None))
    assert [part.get_data_info(i)['img_path'].rsplit('/', 2)[-2:] for i in range(len(part))] == [
        ['b', '2.jpg'],
        ['a', '2.jpg'],
    ]
    assert part.get_data_info(0)['instances'][0]['bbox_label'] == 0


def test_missing_annotation_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no annotation file .*annotations.json.*: set data_root'):
        dataset(tmp_path)


@pytest.mark.parametrize('text', ['{"images": [', '[]', '{"images": []}'])
def test_file_that_is_not_coco_is_named(tmp_path, text):
    (tmp_path / 'annotations.json').write_text(text)
    with pytest.raises(ValueError, match=r'annotations\.json is not a COCO annotation file'):
        dataset(tmp_path)


@pytest.mark.parametrize(
    ('classes', 'expected'), [(('cat', 'dog'), "expects 2, among them 'dog'"), (None, 'expects 80')]
)
def test_classes_that_the_file_lacks_are_named(tmp_path, classes, expected):
    write_annotations(tmp_path)
    with pytest.raises(ValueError, match=rf"1 categories \('cat'\).*{expected}.*num_classes"):
        dataset(tmp_path, classes=classes)


def test_a_part_of_the_files_classes_is_enough(tmp_path):
    write_annotations(tmp_path, categories=('cat', 'dog', 'cow'))
    assert dataset(tmp_path, classes=('dog',)).get_data_info(0)['instances'] == []
    assert dataset(tmp_path, classes=('cat', 'cow')).get_data_info(0)['instances'][0]['bbox_label'] == 0


def test_classes_in_another_order_than_the_files_are_refused(tmp_path):
    write_annotations(tmp_path, categories=('cat', 'dog', 'cow'))
    expected = r"annotations\.json has its categories in the order 'cat', 'cow', .*set metainfo=.*\('cat', 'cow'\)"
    with pytest.raises(ValueError, match=expected):
        dataset(tmp_path, classes=('cow', 'cat'))


@pytest.mark.parametrize(
    ('categories', 'classes', 'expected'),
    [
        (('cat', 'cat'), ('cat',), r"annotations\.json has 'cat' more than once"),
        (('cat', 'cat'), ('cat', 'cat'), r"annotations\.json has 'cat' more than once"),
        (('cat', 'cat'), ('cat', 'dog'), "among them 'dog'"),
        (('cat', 'dog'), ('cat', 'cat'), "metainfo of the dataset has 'cat' more than once"),
    ],
)
def test_a_name_that_is_there_twice_is_refused(tmp_path, categories, classes, expected):
    write_annotations(tmp_path, categories=categories)
    with pytest.raises(ValueError, match=expected):
        dataset(tmp_path, classes=classes)
