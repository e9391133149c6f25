"""COCO-style data: frames of clips, and one clear line for what is wrong with the annotations."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

pytest.importorskip('mmdet')

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.detection.check_hook import check_num_classes
from flsl_mm.detection.coco import FLSLCocoDataset, select_frames
from tests.builders.coco import coco_content

KEYS = ('id', 'image_id', 'category_id', 'bbox', 'area', 'file_name', 'width', 'height', 'name', 'iscrowd')


def write_annotations(folder, categories=('cat',), num_frames=3):
    names = [f'{clip}/{frame}.jpg' for clip in ('b', 'a') for frame in range(num_frames)]
    write(folder, coco_content(names, [(1, 2, 5, 6)], categories, (20, 10), first=7))


def write(folder, content):
    (folder / 'annotations.json').write_text(json.dumps(content))


def dataset(folder, classes=('cat',), **settings):
    metainfo = dict(classes=classes) if classes else None
    paths = dict(data_root=str(folder), ann_file='annotations.json', data_prefix=dict(img=''))
    return FLSLCocoDataset(**paths, metainfo=metainfo, pipeline=[], **settings)


def test_dataset_takes_the_chosen_frames(tmp_path):
    names = ['b/2.jpg', 'b/1.jpg', 'a/1.jpg', 'b/3.jpg', 'a/2.jpg']
    assert select_frames(names, None, 1) == [1, 2]
    assert select_frames(names, -1, None) == [3, 4]
    assert select_frames(names, 2, None) == [3]
    write_annotations(tmp_path)
    assert len(dataset(tmp_path)) == 6
    part = dataset(tmp_path, frames=(-1, None))
    assert [part.get_data_info(i)['img_path'].rsplit('/', 2)[-2:] for i in (0, 1)] == [['b', '2.jpg'], ['a', '2.jpg']]
    assert len(part) == 2
    assert part.get_data_info(0)['instances'][0]['bbox_label'] == 0


def test_categories_that_are_not_used_are_said(tmp_path, capsys, fresh_logger):
    write_annotations(tmp_path, ('cat', 'dog'))
    assert len(dataset(tmp_path, ('dog',), test_mode=True)) == 6
    assert "annotations.json: 6 boxes of 'cat' are left out, not among the classes given" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no object of the classes 'dog'"):
        dataset(tmp_path, ('dog',))
    dataset(tmp_path, ('cat', 'dog'))
    assert 'left out' not in capsys.readouterr().out


def test_file_that_is_missing_or_not_coco_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no annotation file .*annotations.json.*: set data_root'):
        dataset(tmp_path)
    for text in ('{"images": [', '[]', '{"images": []}'):
        (tmp_path / 'annotations.json').write_text(text)
        with pytest.raises(ValueError, match=r'annotations\.json is not a COCO annotation file'):
            dataset(tmp_path)


@pytest.mark.parametrize(
    ('categories', 'classes', 'expected'),
    [
        (('cat',), ('cat', 'dog'), r"1 categories \('cat'\).*expects 2, among them 'dog'.*num_classes"),
        (('cat',), None, r"1 categories \('cat'\).*expects 80.*num_classes"),
        (('cat', 'dog', 'cow'), ('cow', 'cat'), r"in the order 'cat', 'cow', .*set metainfo=.*\('cat', 'cow'\)"),
        (('cat', 'cat'), ('cat',), r"annotations\.json has 'cat' more than once"),
        (('cat', 'cat'), ('cat', 'dog'), "among them 'dog'"),
        (('cat', 'dog'), ('cat', 'cat'), "metainfo of the dataset has 'cat' more than once"),
        (('droplet',), 'droplet', r"classes='droplet', one string: write classes=\('droplet',\)"),
    ],
)
def test_classes_that_do_not_fit_the_file_are_refused(tmp_path, categories, classes, expected):
    write_annotations(tmp_path, categories)
    content = json.loads((tmp_path / 'annotations.json').read_text())
    content['annotations'][0]['category_id'] = 6 + len(categories)  # the first and the last are used
    write(tmp_path, content)
    with pytest.raises(ValueError, match=expected):
        dataset(tmp_path, classes=classes)


def test_a_part_of_the_files_classes_is_enough(tmp_path):
    write_annotations(tmp_path, ('cat', 'dog', 'cow'))
    assert dataset(tmp_path, classes=('dog',), test_mode=True).get_data_info(0)['instances'] == []
    assert dataset(tmp_path, classes=('cat', 'cow')).get_data_info(0)['instances'][0]['bbox_label'] == 0
    with pytest.raises(ValueError, match='one string'):
        check_num_classes(nn.Linear(1, 1), 'droplet')


@pytest.mark.parametrize(
    ('part', 'change', 'line'),
    [
        ('annotations', dict(bbox=None), r'annotations\[1\] \(id 2\) has a bbox that is not four numbers: None'),
        ('annotations', dict(bbox=[1, 2, 3]), r'has a bbox that is not four numbers: \[1, 2, 3\]'),
        ('annotations', dict(bbox=[1, 2, 3, float('nan')]), 'has a bbox that is not four numbers'),
        ('annotations', dict(bbox=...), r'annotations\[1\] \(id 2\) lacks bbox'),
        ('annotations', dict(area=...), 'lacks area'),
        ('annotations', dict(category_id=...), 'lacks category_id'),
        ('annotations', dict(id=...), r'annotations\[1\] lacks id'),
        ('annotations', dict(id=1), r'annotations\[1\] \(id 1\) has the id of an earlier one'),
        ('annotations', dict(image_id=[0]), 'has neither a number nor text as image_id'),
        ('images', dict(file_name=...), r'images\[1\] \(id 2\) lacks file_name'),
        ('images', dict(width='20'), "has no number as width: '20'"),
        ('categories', dict(name=7), 'has no text as name: 7'),
    ],
)
def test_a_malformed_entry_is_named_with_file_and_id(tmp_path, part, change, line):
    write_annotations(tmp_path, categories=('cat', 'dog'))
    content = json.loads((tmp_path / 'annotations.json').read_text())
    entry = {**content[part][1], **change}
    content[part][1] = {key: value for key, value in entry.items() if value is not ...}
    write(tmp_path, content)
    with pytest.raises(ValueError, match=rf'annotations\.json is not a COCO annotation file: {part}.*{line}|{line}'):
        dataset(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(['id', 'bbox']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=int(os.environ.get('FLSL_FUZZ', 60)), deadline=None)
@given(data=st.data())
def test_mutated_annotations_are_read_or_refused_with_a_line(data, tmp_path_factory):
    """Any value of a good file replaced by any JSON: the data set is there, or one ValueError that names the file."""
    folder = tmp_path_factory.mktemp('fuzz')
    write_annotations(folder, num_frames=2)
    content = json.loads((folder / 'annotations.json').read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        node, place = content, data.draw(st.sampled_from([*content]))
        while isinstance(node[place], (list, dict)) and node[place] and data.draw(st.booleans()):
            node = node[place]
            place = data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node))))
        node[place] = data.draw(JSON)
    write(folder, content)
    line = ''
    try:
        found = dataset(folder)
        [found.get_data_info(i) for i in range(len(found))]
    except ValueError as error:
        line = str(error)
    assert not line or ('annotations.json' in line and '\n' not in line)
