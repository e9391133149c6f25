"""COCO files: what is read, and what is wrong with others."""

import json

import pytest
from PIL import Image

from flsl_mm.evaluation.probes.boxes import read_boxed_images
from tests.builders.probe_data import write_boxes


@pytest.fixture
def boxes(tmp_path):
    return write_boxes(tmp_path / 'coco', num_classes=3, images=4)


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_images_with_boxes(boxes):
    def edit(content):
        content['annotations'][0]['bbox'] = [1, 2, 3, 4]
        content['annotations'].append(dict(image_id=0, category_id=3, bbox=[5, 6, 7, 8]))
        content['annotations'][1]['iscrowd'] = 1
        content['annotations'][2]['bbox'] = [1, 2, 0, 4]

    change(boxes, edit)
    images, names = read_boxed_images(boxes, boxes.parent / 'images')
    assert names == ['color 0', 'color 1', 'color 2']
    assert [image.path.name for image in images] == ['0.png', '3.png']
    assert images[0].boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]]
    assert images[0].labels.tolist() == [0, 2]


def test_an_image_of_another_size_is_refused(boxes):
    images, _ = read_boxed_images(boxes, boxes.parent / 'images')
    Image.new('RGB', (32, 64)).save(images[0].path)
    with pytest.raises(ValueError, match='it is 32x64, and 64x64 in the annotations'):
        images[0].read()


@pytest.mark.parametrize(
    ('edit', 'line'),
    [
        (lambda content: content.pop('annotations'), "not a COCO annotation file with boxes .*'annotations'"),
        (lambda content: content['annotations'][0].pop('bbox'), 'not a COCO annotation file'),
        (lambda content: content['annotations'][0].update(category_id=77), r'KeyError: 77'),
        (lambda content: content['annotations'].clear(), 'no image with a box'),
        (
            lambda content: [image.update(file_name=f'x/{image["id"]}.png') for image in content['images']],
            r'none of the 4 images',
        ),
        (
            lambda content: content['images'][1].update(file_name='./0.png'),
            r"not a COCO .* \(2 images have the file_name '0\.png'\)",
        ),
        (lambda content: content['images'][1].update(id=0), r'\(2 images have the id 0\)'),
        (lambda content: content['categories'][1].update(id=1), r'\(2 categories have the id 1\)'),
        (lambda content: content['annotations'][0].update(iscrowd='0'), r"\(iscrowd is '0', neither 0 nor 1\)"),
    ],
)
def test_wrong_files_are_said_in_one_line(boxes, edit, line):
    change(boxes, edit)
    with pytest.raises((ValueError, OSError), match=line) as caught:
        read_boxed_images(boxes, boxes.parent / 'images')
    assert '\n' not in str(caught.value)


def test_no_json_no_file_no_folder(boxes, tmp_path):
    with pytest.raises(FileNotFoundError, match='no annotation file'):
        read_boxed_images(tmp_path / 'none.json', tmp_path)
    with pytest.raises(FileNotFoundError, match='no image folder'):
        read_boxed_images(boxes, tmp_path / 'none')
    for text, line in (('{', 'is not a JSON file'), ('[]', 'it holds a list')):
        boxes.write_text(text)
        with pytest.raises(ValueError, match=line):
            read_boxed_images(boxes, tmp_path)
