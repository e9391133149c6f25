"""What is read from a converted split: objects apart from ignore regions, and the frames of each attribute."""

import json

import pytest

from flsl_mm.uavdt.annotations import ATTRIBUTES
from flsl_mm.uavdt.truth import read_truth


@pytest.fixture
def content():
    def annotation(number, image_id, category_id, bbox, **rest):
        ids = dict(id=number, image_id=image_id, category_id=category_id)
        return dict(rest, **ids, bbox=bbox, area=1, segmentation=[[0, 0, 1, 0, 1, 1]])

    return dict(
        categories=[dict(id=2, name='truck'), dict(id=1, name='car')],
        images=[dict(id=1, sequence='A'), dict(id=2, sequence='B'), dict(id=3, sequence='A')],
        annotations=[
            annotation(0, 3, 2, [1, 2, 3, 4], iscrowd=0, occlusion=4),
            annotation(1, 3, 1, [10, 20, 30, 40], iscrowd=1),
            annotation('b', 1, 1, [5, 6, 7, 8.5], iscrowd=0, occlusion=1),
            annotation(3, 3, 1, [0, 0, 2.5, 2], iscrowd=1),
        ],
        sequences=dict(A=dict(attributes=dict.fromkeys(ATTRIBUTES, False) | dict(night=True)), B=dict(attributes=None)),
    )


def read(folder, content):
    path = folder / 'instances.json'
    path.write_text(json.dumps(content))
    return read_truth(path)


def test_objects_and_regions_apart(tmp_path, content):
    truth = read(tmp_path, content)
    assert truth.classes == ('car', 'truck')
    assert [[a['id'] for a in truth.objects.imgToAnns[i]] for i in (1, 2, 3)] == [[2], [], [1]]
    assert truth.objects.anns[1]['occlusion'] == 4
    assert truth.objects.anns[2]['bbox'] == [5, 6, 7, 8.5]
    assert truth.regions.keys() == {1, 2, 3}
    assert truth.regions[3].tolist() == [[10, 20, 40, 60], [0, 0, 2.5, 2]]
    assert truth.regions[1].shape == truth.regions[2].shape == (0, 4)
    assert truth.attributes.keys() == set(ATTRIBUTES)
    assert {name: frames for name, frames in truth.attributes.items() if frames} == dict(night={1, 3})


def test_another_kind_of_file_is_named(tmp_path, content):
    others = [{key: content[key] for key in content if key != damage} for damage in content]
    for other in (*others, '<html>', [], dict(images=3)):
        with pytest.raises(ValueError, match=r'instances.json was not written by flsl-mm uavdt2coco'):
            read(tmp_path, other)
    with pytest.raises(FileNotFoundError, match=r'no annotation file .*absent.json: write it with flsl-mm uavdt2coco'):
        read_truth(tmp_path / 'absent.json')
