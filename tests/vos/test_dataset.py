"""The DAVIS data set: what items hold, and one clear line for everything that can be wrong with a tree."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.vos.dataset import DAVISDataset
from tests.builders.davis_tree import COLORS, moving_squares, write_tree


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
        (break_mask, r'video one: frame 00002 has no mask \(4 frames, 3 masks\): masks are needed of all frames'),
        (break_last_frame, r'video one: mask 00003 has no frame \(3 frames, 4 masks\)'),
        (break_name, 'video one: .*last.jpg is not named by a frame number'),
        (break_header, 'video one: .*00001.jpg cannot be read: '),
        (break_header_size, 'video one: .*00001.jpg cannot be read: Image size .* exceeds limit'),
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
    assert item['error'].startswith(f'{path} cannot be read: ')
    assert '\n' not in item['error']


def test_masks_without_objects_or_with_255(tree):
    write_palette_mask(masks_of(tree) / '00000.png', np.zeros((64, 128), np.uint8))
    write_palette_mask(masks_of(tree, 'two') / '00001.png', np.full((64, 128), 255, np.uint8))
    dataset = DAVISDataset(tree, short_side=64)
    assert dataset[0]['error'].endswith('00000.png shows no object')
    assert 'value 255, which is not an object id (1 to 254)' in dataset[1]['error']
    assert 'set year=2016' in dataset[1]['error']


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_color_masks_of_several_objects(tree, mode):
    """Their luminance would be taken for ids."""
    path = masks_of(tree, 'two') / '00001.png'
    Image.open(path).convert(mode).save(path)
    error = DAVISDataset(tree, short_side=64)[1]['error']
    assert error.startswith(f'mask {path} is an image of mode {mode}: masks hold one number per pixel')
    assert error.endswith('set year=2016 for masks of one object')


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


def rename_by_five(folder: Path) -> None:
    for path in sorted(folder.iterdir(), reverse=True):
        path.rename(path.with_stem(f'{5 * int(path.stem):05d}'))


def youtube_vos(tree: Path) -> Path:
    """Move a tree to the layout of YouTube-VOS: no lists, no folder of a resolution."""
    shutil.rmtree(tree / 'ImageSets')
    for kind in ('JPEGImages', 'Annotations'):
        for folder in (tree / kind / '480p').iterdir():
            folder.rename(tree / kind / folder.name)
        (tree / kind / '480p').rmdir()
    return tree


def test_youtube_vos(tree):
    """Frames and masks of one video are numbered by five; of the other every second frame has a mask."""
    youtube_vos(tree)
    for kind in ('JPEGImages', 'Annotations'):
        rename_by_five(tree / kind / 'one')
    for number in (1, 3):
        (tree / 'Annotations' / 'two' / f'{number:05d}.png').unlink()
    dataset = DAVISDataset(tree, short_side=64)
    assert dataset.names == ['one', 'two']
    assert dataset[0]['frame_names'].tolist() == ['00000', '00005', '00010', '00015']
    item = dataset[1]
    assert item['frames'].shape[0] == 5
    assert item['mask_index'].tolist() == [0, 2, 4]
    np.testing.assert_array_equal(item['masks'], moving_squares(5, (1, 2))[[0, 2, 4]])
    (tree / 'Annotations' / 'two' / '00004.png').unlink()
    (frames_of_two := tree / 'JPEGImages' / 'two').joinpath('00004.jpg').rename(frames_of_two / '00005.jpg')
    with pytest.raises(ValueError, match=r'video two: frame 00004.jpg is missing'):
        DAVISDataset(tree)


def test_hidden_files_and_folders_are_left_out(tree):
    """What macOS writes to other disks, and Jupyter everywhere."""
    youtube_vos(tree)
    (tree / 'JPEGImages' / '.ipynb_checkpoints').mkdir()
    for path in (tree / 'JPEGImages' / 'one' / '._00000.jpg', tree / 'Annotations' / 'one' / '._00000.png'):
        path.write_bytes(b'Mac OS X')
    dataset = DAVISDataset(tree, short_side=64)
    assert dataset.names == ['one', 'two']
    assert len(dataset[0]['frame_names']) == 4


def test_masks_of_later_objects_are_not_taken_for_the_truth(tree):
    """As in valid of YouTube-VOS: 00000 and 00001 of five frames."""
    for number in (2, 3, 4):
        (masks_of(tree, 'two') / f'{number:05d}.png').unlink()
    with pytest.raises(ValueError, match=r'frame 00002 has no mask \(5 frames, 2 masks\).*of YouTube-VOS'):
        DAVISDataset(tree)


def test_a_first_mask_alone(tree):
    for path in masks_of(tree).iterdir():
        if path.stem != '00000':
            path.unlink()
    item = DAVISDataset(tree, short_side=64)[0]
    assert (item['frames'].shape[0], item['masks'].shape[0], item['mask_index'].tolist()) == (4, 1, [0])


@pytest.mark.parametrize('suffix', ['.png', '.jpeg', '.JPG'])
def test_endings_of_frames(tree, suffix):
    for path in frames_of(tree).iterdir():
        with Image.open(path) as image:
            image.save(path.with_suffix(suffix))
        path.unlink()
    assert DAVISDataset(tree, short_side=64)[0]['frames'].shape == (4, 64, 128, 3)


@pytest.mark.parametrize('year', [2016, 2017])
def test_names_with_spaces(tmp_path, year):
    tree = write_tree(tmp_path / 'my DAVIS', {'my dog 1': moving_squares(3, (1,))}, year)
    dataset = DAVISDataset(tree, year=year, short_side=64)
    assert dataset.names == ['my dog 1']
    assert dataset[0]['masks'].shape == (3, 64, 128)


def test_object_ids_with_gaps(tmp_path):
    """Gray values for ids, as masks that lost their palette have; an id that appears later is none."""
    masks = np.array([0, 38, 75], np.uint8)[moving_squares(4, (1, 2))]
    later = moving_squares(4, (1, 3))
    later[2:, 60:, 100:120] = 2
    tree = write_tree(tmp_path / 'DAVIS', {'gray': masks, 'later': later})
    line = r"video gray: its masks have the object ids 38, 75 and skip 73 below 75, .*id_gaps to 'ignore'"
    with pytest.raises(ValueError, match=line):
        DAVISDataset(tree)
    assert DAVISDataset(tree, short_side=64, id_gaps='count')[0]['object_ids'].tolist() == list(range(1, 76))
    found = DAVISDataset(tree, short_side=64, id_gaps='ignore')
    assert found[0]['object_ids'].tolist() == [38, 75]
    assert found[1]['object_ids'].tolist() == [1, 2, 3]
