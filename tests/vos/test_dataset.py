"""The DAVIS data set: what items hold, and one clear line for everything that can be wrong with a tree."""

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
    enlarged = DAVISDataset(tree, short_side=96)[0]
    assert (enlarged['frames'].shape, enlarged['masks'].shape) == ((4, 96, 192, 3), (4, 64, 128))


def test_davis_2016_masks_and_lists(tmp_path):
    """Masks of 0 and 255 become object 1; the list has a line a frame, or names."""
    tree = write_tree(tmp_path / 'DAVIS', {'b': moving_squares(4, (1, 2)), 'a': moving_squares(3, (1,))}, year=2016)
    dataset = DAVISDataset(tree, year=2016, short_side=64)
    assert dataset.names == ['b', 'a']
    np.testing.assert_array_equal(dataset[0]['masks'], moving_squares(4, (1, 2)) > 0)
    (tree / 'ImageSets' / '480p').rename(tree / 'ImageSets' / '2016')
    (tree / 'ImageSets' / '2016' / 'val.txt').write_text('a\n\n')
    assert DAVISDataset(tree, year=2016, short_side=64).names == ['a']


def image(height: int, width: int):
    return lambda path: Image.fromarray(np.zeros((height, width), np.uint8)).save(path)


def break_resolution(path: Path) -> None:
    for mask in path.parent.iterdir():
        Image.open(mask).resize((256, 128), Image.Resampling.NEAREST).save(mask)


def break_header_size(path: Path) -> None:
    """A header that claims 65535x65535 pixels, which Pillow refuses as a decompression bomb."""
    content = path.read_bytes()
    height = content.index(b'\xff\xc0') + 5
    path.write_bytes(content[:height] + b'\xff' * 4 + content[height + 4 :])


FRAME, MASK = 'JPEGImages/480p/one/0000{}.jpg', 'Annotations/480p/one/0000{}.png'


@pytest.mark.parametrize(
    ('damage', 'path', 'line'),
    [
        (Path.unlink, MASK.format(0), 'no first mask: .*00000.png does not exist'),
        (image(64, 120), MASK.format(2), '.*00002.png is 120x64, but 00000.jpg is 128x64$'),
        (break_resolution, MASK.format(0), '.*is 256x128, but 00000.jpg is 128x64 .full-resolution masks with 480p'),
        (image(32, 64), FRAME.format(1), '.*00001.jpg is 64x32, but 00000.jpg is 128x64$'),
        (Path.unlink, FRAME.format(1), 'frame 00001.jpg is missing between 00000.jpg and 00003.jpg'),
        (Path.unlink, MASK.format(2), r'frame 00002 has no mask \(4 frames, 3 masks\): masks are needed of all'),
        (Path.unlink, FRAME.format(3), r'mask 00003 has no frame \(3 frames, 4 masks\)'),
        (lambda path: path.rename(path.with_stem('last')), FRAME.format(3), '.*last.jpg is not named by a frame'),
        (lambda path: path.write_bytes(b'no image'), FRAME.format(1), '.*00001.jpg cannot be read: '),
        (break_header_size, FRAME.format(1), '.*00001.jpg cannot be read: Image size .* exceeds limit'),
        (lambda path: shutil.rmtree(path.parent), FRAME.format(1), '0 frames in .*: the evaluation needs at least 3'),
        (None, 'JPEGImages/480p/one', '.*Permission denied: .*one'),
    ],
)
def test_problems_of_a_video(tree, damage, path, line, monkeypatch):
    """One line at the start, or with keep_going an item with an error, and the other video as before."""
    if damage:
        damage(tree / path)
    else:
        refuse_folder(tree / path, monkeypatch)
    with pytest.raises(ValueError, match=f'^video one: {line}') as raised:
        DAVISDataset(tree, short_side=64)
    assert '\n' not in str(raised.value)
    dataset = DAVISDataset(tree, short_side=64, keep_going=True)
    assert len(dataset) == 2
    assert f'video one: {dataset[0]["error"]}' == str(raised.value)
    assert dataset[0]['count'] == 2
    assert dataset[1]['frames'].shape == (5, 64, 128, 3)


def refuse_folder(folder: Path, monkeypatch) -> None:
    original = Path.iterdir

    def iterdir(path):
        if path == folder:
            raise PermissionError(13, 'Permission denied', str(path))
        return original(path)

    monkeypatch.setattr(Path, 'iterdir', iterdir)


def test_files_that_are_wrong_when_they_are_decoded(tree):
    """The item then holds the error."""

    def error(number):
        item = DAVISDataset(tree, short_side=64)[number]
        assert 'frames' not in item
        return item['error']

    mask = masks_of(tree, 'two') / '00001.png'
    for mode in ('RGB', 'RGBA', 'LA'):  # their luminance would be taken for ids
        Image.open(masks_of(tree, 'two') / '00002.png').convert(mode).save(mask)
        assert error(1).startswith(f'mask {mask} is an image of mode {mode}: masks hold one number per pixel')
        assert error(1).endswith('set year=2016 for masks of one object')
    write_palette_mask(mask, np.full((64, 128), 255, np.uint8))
    assert 'value 255, which is not an object id (1 to 254)' in error(1)
    assert 'set year=2016' in error(1)
    write_palette_mask(masks_of(tree) / '00000.png', np.zeros((64, 128), np.uint8))
    assert error(0).endswith('00000.png shows no object')
    path = frames_of(tree) / '00002.jpg'
    path.write_bytes(path.read_bytes()[:-200])
    assert error(0).startswith(f'{path} cannot be read: ')
    assert '\n' not in error(0)


def test_arguments(tree, tmp_path):
    assert DAVISDataset(tree, videos=['two']).names == ['two']
    for options, line in (
        (dict(videos=['two', 'three']), 'no video three among the 2 videos'),
        (dict(year=2018), 'year must be one of'),
        (dict(short_side=63), 'short_side'),
        (dict(mask_folder='Annotations_unsupervised'), 'masks of the unsupervised task'),
    ):
        with pytest.raises(ValueError, match=line):
            DAVISDataset(tree, **options)
    with pytest.raises(FileNotFoundError, match='set data_root to a DAVIS tree'):
        DAVISDataset(tmp_path / 'nowhere')
    (tree / 'Annotations').rename(tree / 'Annotations_unsupervised')
    with pytest.raises(FileNotFoundError, match=r'no folder .*, only Annotations_unsupervised'):
        DAVISDataset(tree)
    shutil.rmtree(tree / 'Annotations_unsupervised')
    with pytest.raises(FileNotFoundError, match='the tree is incomplete'):
        DAVISDataset(tree)


def test_youtube_vos(tree):
    """One video is numbered by five, of the other every second frame has a mask; hidden files are left out."""
    shutil.rmtree(tree / 'ImageSets')
    for kind in ('JPEGImages', 'Annotations'):
        for folder in (tree / kind / '480p').iterdir():
            folder.rename(tree / kind / folder.name)
        (tree / kind / '480p').rmdir()
        for path in sorted((tree / kind / 'one').iterdir(), reverse=True):
            path.rename(path.with_stem(f'{5 * int(path.stem):05d}'))
        path.with_name(f'._{path.name}').write_bytes(b'Mac OS X')
        (tree / kind / '.ipynb_checkpoints').mkdir()
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


def test_later_masks_that_are_not_there(tree):
    """The first alone is a video without truth; some of them are masks of later objects, as in valid of YouTube-VOS."""
    for number in (1, 2, 3):
        (masks_of(tree) / f'{number:05d}.png').unlink()
    item = DAVISDataset(tree, short_side=64)[0]
    assert (item['frames'].shape[0], item['masks'].shape[0], item['mask_index'].tolist()) == (4, 1, [0])
    for number in (2, 3, 4):
        (masks_of(tree, 'two') / f'{number:05d}.png').unlink()
    with pytest.raises(ValueError, match=r'frame 00002 has no mask \(5 frames, 2 masks\).*of YouTube-VOS'):
        DAVISDataset(tree)


@pytest.mark.parametrize('year', [2016, 2017])
def test_names_with_spaces_and_other_endings(tmp_path, year):
    tree = write_tree(tmp_path / 'my DAVIS', {'my dog 1': moving_squares(3, (1,))}, year)
    for path, ending in zip(frames_of(tree, 'my dog 1').iterdir(), ('.png', '.jpeg', '.JPG'), strict=True):
        with Image.open(path) as frame:
            frame.save(path.with_suffix(ending))
        path.unlink()
    dataset = DAVISDataset(tree, year=year, short_side=64)
    assert dataset.names == ['my dog 1']
    assert dataset[0]['masks'].shape == (3, 64, 128)
    assert dataset[0]['frames'].shape == (3, 64, 128, 3)


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
