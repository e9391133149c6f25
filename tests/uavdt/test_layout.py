"""What is found in a UAVDT tree: sequences with their split, frames with their boxes; and what is missing is named."""

import shutil

import numpy as np
import pytest
from PIL import Image

from flsl_mm.uavdt.layout import clip_boxes, find_sequences, read_frames
from tests.builders.uavdt_tree import ATTRIBUTES, write_sequence

CAR = (1, 1, 1)


def read_one(root, stride=1):
    (sequence,) = find_sequences(root)
    return read_frames(root, sequence, stride)


def test_split_comes_from_the_official_lists(tmp_path):
    splits = dict(M0101='train', M0203='test', M1306='train', M1401='test')
    for name in splits:
        write_sequence(tmp_path, name, [])
    found = find_sequences(tmp_path)
    assert {sequence.name: sequence.split for sequence in found} == splits
    assert {sequence.attributes for sequence in found} == {None}


def test_files_of_attributes_win_over_the_lists(tmp_path):
    write_sequence(tmp_path, 'M0101', [], split='test')
    write_sequence(tmp_path, 'M0203', [])
    write_sequence(tmp_path, 'mine', [], split='train')
    # The official download has this blank in the name of one file.
    (tmp_path / 'M_attr' / 'test' / 'M0701 _attr.txt').write_text('0,0,1,1,0,0,0,0,1,1')
    write_sequence(tmp_path, 'M0701', [])
    found = {sequence.name: sequence for sequence in find_sequences(tmp_path)}
    splits = {name: sequence.split for name, sequence in found.items()}
    assert splits == dict(M0101='test', M0203='test', M0701='test', mine='train')
    assert tuple(found['M0101'].attributes.values()) == tuple(map(bool, ATTRIBUTES))
    on = [name for name, flag in found['M0701'].attributes.items() if flag]
    assert on == ['fog', 'low_altitude', 'bird_view', 'long_term']
    assert found['M0203'].attributes is None


def test_both_layouts_of_the_images(tmp_path):
    for name, folder in (('M0101', ''), ('M0102', 'img1')):
        write_sequence(tmp_path, name, [], folder=folder)
    # Other folders and files beside them are left alone.
    shutil.copytree(tmp_path / IMAGES / 'M0102/img1', tmp_path / IMAGES / 'M0102/img_mask')
    for path in ('M0102/gt', '.cache'):
        (tmp_path / IMAGES / path).mkdir()
    for path in ('M0102/img1/Thumbs.db', 'readme.txt'):
        (tmp_path / IMAGES / path).touch()
    plain, nested = (read_frames(tmp_path, sequence, 1).files for sequence in find_sequences(tmp_path))
    assert plain == tuple(f'UAV-benchmark-M/M0101/img00000{i}.jpg' for i in (1, 2))
    assert nested == tuple(f'UAV-benchmark-M/M0102/img1/img00000{i}.jpg' for i in (1, 2))


def test_frames_in_order_with_sizes_and_clipped_boxes(tmp_path):
    boxes = [
        (3, 1, 10, 10, 5, 6, 1, 1, 1),
        (1, 1, -4, 40, 10, 20, 2, 3, 2),
        (3, 2, 100, 10, 5, 6, *CAR),  # right of the image
        (1, 2, 60, 44, 5, 6, *CAR),
        (3, 3, 20, 20, 0, 6, *CAR),
    ]
    regions = [(3, 9, 0, 0, 70, 50, 1, -1, -1), (1, 8, -20, 0, 20, 9)]
    write_sequence(tmp_path, 'M0101', boxes, regions, frames=3)
    Image.new('RGB', (32, 24)).save(tmp_path / 'UAV-benchmark-M/M0101/img000003.jpg')
    frames = read_one(tmp_path)
    assert frames.numbers.tolist() == [1, 2, 3]
    assert frames.sizes.tolist() == [[64, 48], [64, 48], [32, 24]]
    assert frames.boxes.tolist() == [
        [1, 1, 0, 40, 6, 8, 2, 3, 2],
        [1, 2, 60, 44, 4, 4, 1, 1, 1],
        [3, 1, 10, 10, 5, 6, 1, 1, 1],
    ]
    assert frames.regions.tolist() == [[3, 9, 0, 0, 32, 24]]
    assert frames.outside == (2, 1)


def test_stride_begins_with_frame_1(tmp_path):
    boxes = [(number, number, 1, 2, 3, 4, *CAR) for number in range(1, 8)]
    write_sequence(tmp_path, 'M0101', boxes, frames=7)
    # With a stride the images between need not be there.
    (tmp_path / 'UAV-benchmark-M/M0101/img000002.jpg').unlink()
    frames = read_one(tmp_path, stride=3)
    assert frames.numbers.tolist() == frames.boxes[:, 1].tolist() == [1, 4, 7]
    assert [name[-5] for name in frames.files] == ['1', '4', '7']


def test_clip_boxes():
    boxes = np.array([[-2, -3, 10, 10], [5, 5, 2, 2], [8, 8, 100, 100], [20, 5, 5, 5], [-9, 5, 5, 5]], float)
    clipped = clip_boxes(boxes, np.array([[10, 9]] * 5))
    assert clipped[:3].tolist() == [[0, 0, 8, 7], [5, 5, 2, 2], [8, 8, 2, 1]]
    assert (clipped[3:, 2] <= 0).all()


def remove(path):
    return lambda root: shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()


def write(path, text):
    def change(root):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return change


def empty(root):
    shutil.rmtree(root)
    for path in (IMAGES, GT):
        (root / path).mkdir(parents=True)


IMAGES, GT, BOXES = 'UAV-benchmark-M', 'UAV-benchmark-MOTD_v1.0/GT', 'UAV-benchmark-MOTD_v1.0/GT/M0101_gt_whole.txt'
ATTRIBUTE_FILES = [write(f'M_attr/{split}/M0101_attr.txt', '1,0,0,1,0,0,1,0,0,0') for split in ('train', 'test')]


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (remove(IMAGES), FileNotFoundError, 'no folder .*UAV-benchmark-M: .* must hold'),
        (remove(GT), FileNotFoundError, 'no folder .*GT: .* must hold'),
        (remove(f'{IMAGES}/M0101'), FileNotFoundError, 'no images .*M0101 for M0101_gt_whole.txt'),
        (remove(f'{IMAGES}/M0101/img000002.jpg'), FileNotFoundError, 'no image of frame 2 of M0101'),
        (remove(f'{IMAGES}/M0101/img000003.jpg'), FileNotFoundError, 'no image of frame 3 of M0101'),
        (remove(BOXES), FileNotFoundError, 'no file .*M0101_gt_whole.txt for the images of M0101'),
        (write(BOXES, f'{10**12},1,1,2,3,4,1,1,1'), FileNotFoundError, 'no image of frame 1000000000000 of M0101'),
        (write(f'{IMAGES}/M0101/img000002.jpg', '<html>'), ValueError, 'img000002.jpg cannot be read'),
        (write(f'{IMAGES}/M0101/img000002.png', ''), ValueError, 'two images of frame 2'),
        (write('M_attr/train/M0101_attr.txt', '1,0'), ValueError, 'M0101_attr.txt: expected 10 flags'),
        (lambda root: write_sequence(root, 'M9999', []), ValueError, 'M9999 is neither a train nor a test sequence'),
        (lambda root: [add(root) for add in ATTRIBUTE_FILES], ValueError, 'M0101 has another file of attributes'),
        (empty, FileNotFoundError, 'no sequences in'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, error, message):
    # Frame 3 has a region and no object, frame 2 nothing.
    write_sequence(tmp_path, 'M0101', [(1, 1, 1, 2, 3, 4, *CAR)], [(3, 1, 1, 2, 3, 4)], frames=3)
    read_one(tmp_path)
    change(tmp_path)
    with pytest.raises(error, match=message) as caught:
        read_one(tmp_path)
    assert '\n' not in str(caught.value)
