"""Folders that are written atomically, and the images with annotations drawn in."""

import json

import numpy as np
import pytest

from flsl_mm.scenes.output import (
    TreeRequest,
    contact_sheet,
    draw_boxes,
    new_folder,
    save_image,
    tint_instances,
    write_manifest,
)
from tests.builders.scene_trees import files_of, pixels


@pytest.mark.parametrize(
    ('num', 'fraction', 'sizes'), [(4, 0.25, (3, 1)), (2, 0.01, (1, 1)), (5, 0.99, (1, 4)), (10, 0.4, (6, 4))]
)
def test_each_split_has_something(num, fraction, sizes):
    request = TreeRequest(num=num, seed=0, size_hw=(32, 32), val_fraction=fraction)
    assert request.split_sizes() == dict(train=sizes[0], val=sizes[1])


def fill(out, name, force=False, error=None):
    with new_folder(out, force) as folder:
        write_manifest(folder, layout='test')
        (folder / name).touch()
        assert (out / name).exists() is False
        if error:
            raise error


@pytest.mark.parametrize('foreign', ['mine.txt', 'sub/link', 'scenes.json', 'broken'])
def test_a_folder_with_a_file_of_somebody_else_is_not_replaced(foreign, tmp_path):
    out = tmp_path / 'out'
    fill(out, 'one')
    (out / 'sub').mkdir()
    if foreign == 'sub/link':
        (out / foreign).symlink_to(tmp_path)
    elif foreign == 'broken':
        (out / 'scenes.json').write_text('{')
    else:
        (out / foreign).write_text('{"unity": 1}')
    name = foreign if foreign in ('mine.txt', 'sub/link') else 'one'
    with pytest.raises(FileExistsError, match=f'out holds {name}, which make-scenes did not write: remove .*out yours'):
        fill(out, 'two', force=True)
    assert (out / 'one').exists()


def test_a_link_is_no_folder_to_write(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    with pytest.raises(FileExistsError, match='link is a link: remove it, or name the folder itself'):
        fill(tmp_path / 'link', 'one', force=True)
    assert (tmp_path / 'link').is_symlink()


@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), KeyboardInterrupt()])
def test_an_own_folder_is_replaced_only_when_asked_and_whole(tmp_path, error):
    fill(tmp_path / 'a' / 'out', 'one')
    before = files_of(tmp_path)
    assert set(before) == {'a/out/one', 'a/out/scenes.json'}
    with pytest.raises(FileExistsError, match='is not empty: choose another folder, or give --force'):
        fill(tmp_path / 'a' / 'out', 'two')
    with pytest.raises(type(error)):
        fill(tmp_path / 'a' / 'out', 'half', force=True, error=error)
    assert files_of(tmp_path) == before
    fill(tmp_path / 'a' / 'out', 'two', force=True)
    assert set(files_of(tmp_path)) == {'a/out/two', 'a/out/scenes.json'}
    assert json.loads((tmp_path / 'a' / 'out' / 'scenes.json').read_text()) == dict(layout='test', files=['two'])
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['out']
    (tmp_path / 'empty').mkdir()
    fill(tmp_path / 'empty', 'three')


def test_what_is_somebody_elses_is_never_replaced(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('precious')
    with pytest.raises(FileExistsError, match=r'holds thesis\.txt, which make-scenes did not write'):
        fill(tmp_path / 'mine', 'new', force=True)
    with pytest.raises(FileExistsError, match='is a file'):
        fill(tmp_path / 'mine' / 'thesis.txt', 'new', force=True)
    assert files_of(tmp_path) == {'mine/thesis.txt': b'precious'}


def test_images_are_saved_in_the_format_of_their_name(tmp_path):
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for name, kind in (('a.png', b'\x89PNG'), ('a.jpg', b'\xff\xd8')):
        save_image(tmp_path / name, image)
        assert (tmp_path / name).read_bytes().startswith(kind)
        assert np.abs(pixels(tmp_path / name).astype(int) - image).max() <= 3


def test_contact_sheet_by_hand():
    images = [np.full((10, 20, 3), value, np.uint8) for value in range(10, 80, 10)]
    # A tile is a quarter of 45 wide, so 11 by 6 pixels, four of them in a row.
    sheet = contact_sheet(images, sheet_width=45)
    assert sheet.shape == (12, 44, 3)
    np.testing.assert_array_equal(sheet[::6, ::11, 0], [[10, 20, 30, 40], [50, 60, 70, 0]])
    # Small images keep their size.
    assert contact_sheet(images, sheet_width=200).shape == (10, 140, 3)
    np.testing.assert_array_equal(contact_sheet(images[:1]), images[0])


def test_tint_marks_instances_only():
    image = np.full((6, 6, 3), 100, np.uint8)
    instance_map = np.zeros((6, 6), np.int32)
    instance_map[2:5, 2:5] = 1
    tinted = tint_instances(image, instance_map)
    np.testing.assert_array_equal(tinted[0, 0], [100, 100, 100])
    # 65% of the image and 35% of the palette's (128, 0, 0); the outline is white.
    np.testing.assert_array_equal(tinted[4, 4], [109, 65, 65])
    np.testing.assert_array_equal(tinted[2, 2:5], np.full((3, 3), 255))
    assert image.max() == 100
    np.testing.assert_array_equal(tint_instances(image, 0 * instance_map), image)


def test_boxes_are_drawn_on_their_outermost_pixels():
    image = np.full((20, 30, 3), 100, np.uint8)
    drawn = draw_boxes(image, [((2, 3, 5, 4), (255, 0, 0)), ((12, 10, 50, 5), (0, 0, 255))])
    red, blue = ((drawn == color).all(axis=2) for color in ((255, 0, 0), (0, 0, 255)))
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 6, 2, 6)
    assert red.sum() == 2 * 5 + 2 * 2
    # The second goes on beyond the image.
    assert blue[:, 29].sum() == 2
    assert (drawn[~red & ~blue] == 100).all()
    assert image.min() == image.max() == 100
    np.testing.assert_array_equal(draw_boxes(image, []), image)
