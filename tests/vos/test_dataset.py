"""The DAVIS data set: what items hold, and one clear line for everything that can be wrong with a tree."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.vos.dataset import DAVISDataset
from tests.vos.tiny_davis import COLORS, moving_squares, write_tree


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / 'DAVIS', {'one': moving_squares(4, (1,)), 'two': moving_squares(5, (1, 2))})


def frames_of(tree: Path, name: str = 'one') -> Path:
    return tree / 'JPEGImages' / '480p' / name


def masks_of(tree: Path, name: str = 'one') -> Path:
    return tree / 'Annotations' / '480p' / name


def test_items(tree):
    dataset = DAVISDataset(tree, short_side=64)
    assert len(dataset) == 2
    assert dataset.metainfo == dict(dataset_type='DAVIS-2017', videos=('one', 'two'), keep_going=False)
    item = dataset[1]
    assert (item['video'], item['index'], item['count']) == ('two', 1, 2)
    assert item['frame_names'].tolist() == ['00000', '00001', '00002', '00003', '00004']
    assert item['frames'].shape == (5, 64, 128, 3)
    assert item['frames'].dtype == item['masks'].dtype == np.uint8
    np.testing.assert_array_equal(item['masks'], moving_squares(5, (1, 2)))
    # RGB in this order: the first square is red. JPEG is not exact.
    assert np.abs(item['frames'][0, 12, 20].astype(int) - COLORS[1]).max() < 30


def test_frames_are_resized_and_masks_are_not(tree):
    item = DAVISDataset(tree, short_side=96)[0]
    assert item['frames'].shape == (4, 96, 192, 3)
    assert item['masks'].shape == (4, 64, 128)


def test_davis_2016_masks_and_list(tmp_path):
    """Masks of 0 and 255 become object 1; the list has a line a frame."""
    tree = write_tree(tmp_path / 'DAVIS', {'b': moving_squares(4, (1, 2)), 'a': moving_squares(3, (1,))}, year=2016)
    dataset = DAVISDataset(tree, year=2016, short_side=64)
    assert dataset.names == ['b', 'a']
    np.testing.assert_array_equal(dataset[0]['masks'], moving_squares(4, (1, 2)) > 0)


def test_davis_2016_list_of_names(tmp_path):
    tree = write_tree(tmp_path / 'DAVIS', {'a': moving_squares(3, (1,))}, year=2016)
    (tree / 'ImageSets' / '480p').rename(tree / 'ImageSets' / '2016')
    (tree / 'ImageSets' / '2016' / 'val.txt').write_text('a\n\n')
    assert DAVISDataset(tree, year=2016, short_side=64).names == ['a']


def test_chosen_videos(tree):
    assert DAVISDataset(tree, videos=['two']).names == ['two']
    with pytest.raises(ValueError, match='no video three among the 2 videos'):
        DAVISDataset(tree, videos=['two', 'three'])


def break_first_mask(tree: Path) -> None:
    (masks_of(tree) / '00000.png').unlink()


def break_sizes(tree: Path) -> None:
    Image.fromarray(np.zeros((64, 120), np.uint8)).save(masks_of(tree) / '00002.png')


def break_resolution(tree: Path) -> None:
    for path in masks_of(tree).iterdir():
        Image.open(path).resize((256, 128), Image.Resampling.NEAREST).save(path)


def break_frame_size(tree: Path) -> None:
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(frames_of(tree) / '00001.jpg')


def break_numbers(tree: Path) -> None:
    (frames_of(tree) / '00001.jpg').unlink()


def break_mask(tree: Path) -> None:
    (masks_of(tree) / '00002.png').unlink()


def break_last_frame(tree: Path) -> None:
    (frames_of(tree) / '00003.jpg').unlink()


def break_name(tree: Path) -> None:
    (frames_of(tree) / '00003.jpg').rename(frames_of(tree) / 'last.jpg')


def break_header(tree: Path) -> None:
    (frames_of(tree) / '00001.jpg').write_bytes(b'no image')


def break_header_size(tree: Path) -> None:
    """A header that claims 65535x65535 pixels, which Pillow refuses as a decompression bomb."""
    path = frames_of(tree) / '00001.jpg'
    content = path.read_bytes()
    height = content.index(b'\xff\xc0') + 5
    path.write_bytes(content[:height] + b'\xff' * 4 + content[height + 4 :])


def break_folder(tree: Path) -> None:
    shutil.rmtree(frames_of(tree))


@pytest.mark.parametrize(
    ('damage', 'line'),
    [
        (break_first_mask, 'video one: no first mask: .*00000.png does not exist'),
        (break_sizes, r'video one: .*00002.png is 120x64, but 00000.jpg is 128x64$'),
        (break_resolution, 'video one: .*is 256x128, but 00000.jpg is 128x64 .full-resolution masks with 480p frames'),
        (break_frame_size, 'video one: .*00001.jpg is 64x32, but 00000.jpg is 128x64$'),
        (break_numbers, 'video one: frame 00001.jpg is missing between 00000.jpg and 00003.jpg'),
        (break_mask, r'video one: frame 00002 has no mask \(4 frames, 3 masks\)'),
        (break_last_frame, r'video one: mask 00003 has no frame \(3 frames, 4 masks\)'),
        (break_name, 'video one: .*last.jpg is not named by a frame number'),
        (break_header, 'video one: .*00001.jpg is unreadable: '),
        (break_header_size, 'video one: .*00001.jpg is unreadable: Image size .* exceeds limit'),
        (break_folder, 'video one: 0 frames in .*: the evaluation needs at least 3'),
    ],
)
def test_problems_of_a_video(tree, damage, line):
    """One line at the start, or with keep_going an item with an error, and the other video as before."""
    damage(tree)
    with pytest.raises(ValueError, match=line) as raised:
        DAVISDataset(tree, short_side=64)
    assert '\n' not in str(raised.value)
    dataset = DAVISDataset(tree, short_side=64, keep_going=True)
    assert len(dataset) == 2
    assert f'video one: {dataset[0]["error"]}' == str(raised.value)
    assert dataset[0]['count'] == 2
    assert dataset[1]['frames'].shape == (5, 64, 128, 3)


def test_a_folder_without_permission(tree, monkeypatch):
    """It is a problem of its video alone."""
    original = Path.iterdir

    def iterdir(path):
        if path == frames_of(tree):
            raise PermissionError(13, 'Permission denied', str(path))
        return original(path)

    monkeypatch.setattr(Path, 'iterdir', iterdir)
    with pytest.raises(ValueError, match=r'^video one: .*Permission denied: .*one') as raised:
        DAVISDataset(tree, short_side=64)
    dataset = DAVISDataset(tree, short_side=64, keep_going=True)
    assert f'video one: {dataset[0]["error"]}' == str(raised.value)
    assert dataset[1]['frames'].shape == (5, 64, 128, 3)


def test_frames_damaged_behind_their_header(tree):
    """A file that is cut off shows only when it is decoded: the item then holds the error."""
    path = frames_of(tree) / '00002.jpg'
    path.write_bytes(path.read_bytes()[:-200])
    item = DAVISDataset(tree, short_side=64)[0]
    assert 'frames' not in item
    assert item['error'].startswith(f'frame {path} is unreadable: ')
    assert '\n' not in item['error']


def test_masks_without_objects_or_with_255(tree):
    write_palette_mask(masks_of(tree) / '00000.png', np.zeros((64, 128), np.uint8))
    write_palette_mask(masks_of(tree, 'two') / '00001.png', np.full((64, 128), 255, np.uint8))
    dataset = DAVISDataset(tree, short_side=64)
    assert dataset[0]['error'].endswith('00000.png shows no object')
    assert 'value 255' in dataset[1]['error']
    assert 'set year=2016' in dataset[1]['error']


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', '1'])
def test_color_masks_of_several_objects(tree, mode):
    """Their luminance would be taken for ids."""
    path = masks_of(tree, 'two') / '00001.png'
    Image.open(path).convert(mode).save(path)
    error = DAVISDataset(tree, short_side=64)[1]['error']
    assert error.startswith(f'mask {path} has mode {mode}, which holds no object ids: ')
    assert 'palette or gray images (mode P or L)' in error


def test_unsupervised_masks(tree):
    with pytest.raises(ValueError, match='masks of the unsupervised task'):
        DAVISDataset(tree, mask_folder='Annotations_unsupervised')
    (tree / 'Annotations').rename(tree / 'Annotations_unsupervised')
    with pytest.raises(FileNotFoundError, match=r'no folder .*, only Annotations_unsupervised'):
        DAVISDataset(tree)


def test_arguments(tree, tmp_path):
    with pytest.raises(ValueError, match='year must be one of'):
        DAVISDataset(tree, year=2018)
    with pytest.raises(ValueError, match='short_side'):
        DAVISDataset(tree, short_side=63)
    with pytest.raises(FileNotFoundError, match='set data_root to a DAVIS tree'):
        DAVISDataset(tmp_path / 'nowhere')
    shutil.rmtree(tree / 'Annotations')
    with pytest.raises(FileNotFoundError, match='the tree is incomplete'):
        DAVISDataset(tree)
