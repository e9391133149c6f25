"""Writing a tree of any layout: the same bytes again, atomically; and image folders."""

import json
from pathlib import Path

import numpy as np
import pytest

from flsl_mm.scenes import writers
from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.painter import render_scene
from flsl_mm.scenes.writers import WRITERS, write_scenes
from flsl_mm.utils.version import __version__
from tests.builders.scene_trees import REQUESTS, SMALL, assert_jpeg_of, files_of, pixels


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    """A tree of each layout."""
    root = tmp_path_factory.mktemp('trees')
    for layout, request in REQUESTS.items():
        write_scenes(root / layout, layout, request)
    return root


@pytest.mark.parametrize('layout', WRITERS)
def test_the_same_request_gives_the_same_bytes(trees, tmp_path, layout):
    write_scenes(tmp_path / 'again', layout, REQUESTS[layout])
    assert files_of(trees / layout) == files_of(tmp_path / 'again')


@pytest.mark.parametrize('layout', WRITERS)
def test_another_seed_gives_other_images(trees, tmp_path, layout):
    request = TreeRequest(num=2, frames=5, seed=4, size_hw=(48, 64))
    write_scenes(tmp_path / 'other', layout, request)
    other = files_of(tmp_path / 'other')
    shared = [name for name in files_of(trees / layout) if name.endswith('.jpg') and name in other]
    assert shared
    assert all(other[name] != (trees / layout / name).read_bytes() for name in shared)


@pytest.mark.parametrize('layout', WRITERS)
def test_the_manifest_says_how_it_was_made(trees, layout):
    request = REQUESTS[layout]
    assert json.loads((trees / layout / 'scenes.json').read_text()) == dict(
        layout=layout,
        version=__version__,
        num=request.num,
        seed=3,
        size_hw=[48, 64],
        frames=request.frames,
        val_fraction=request.val_fraction,
        image_folder=False,
    )


@pytest.mark.parametrize('layout', WRITERS)
def test_the_preview_shows_the_images(trees, layout):
    tiles = 12 if layout == 'davis' else 4
    preview = pixels(trees / layout / 'preview.png')
    assert preview.shape == (48, 64 * tiles, 3)
    columns = np.split(preview, tiles, axis=1)
    assert all(column.std() > 3 for column in columns)
    if layout == 'images':
        np.testing.assert_array_equal(columns[0], render_scene(3, 0, (48, 64)).image)


def test_images_read_back(trees):
    files = sorted(name for name in files_of(trees / 'images') if name.endswith('.jpg'))
    assert files == ['train/00/000000.jpg', 'train/00/000001.jpg', 'train/00/000002.jpg', 'val/00/000000.jpg']
    for name in files:
        split, number = name.split('/')[0], int(Path(name).stem)
        assert_jpeg_of(trees / 'images' / name, render_scene(3, number, (48, 64), split).image)


def test_a_failed_write_leaves_the_earlier_tree_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / 'out'
    write_scenes(out, 'images', REQUESTS['images'])
    before = files_of(tmp_path)

    def full_disk(path, image):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(writers, 'save_image', full_disk)
    with pytest.raises(OSError, match='No space left'):
        write_scenes(out, 'images', TreeRequest(num=6, **SMALL), force=True)
    assert files_of(tmp_path) == before
    assert list(tmp_path.iterdir()) == [out]


def test_force_replaces_all_of_a_tree(tmp_path):
    out = tmp_path / 'out'
    write_scenes(out, 'images', TreeRequest(num=3, **SMALL))
    write_scenes(out, 'coco', REQUESTS['coco'], force=True)
    write_scenes(tmp_path / 'fresh', 'coco', REQUESTS['coco'])
    assert files_of(out) == files_of(tmp_path / 'fresh')
    assert sorted(tmp_path.iterdir()) == [tmp_path / 'fresh', out]


def test_an_empty_folder_may_be_filled(trees, tmp_path):
    write_scenes(tmp_path, 'images', REQUESTS['images'])
    assert files_of(tmp_path) == files_of(trees / 'images')


@pytest.mark.parametrize(
    ('layout', 'changes', 'message'),
    [
        ('kitti', {}, "unknown layout 'kitti': use one of images, coco, uavdt, davis"),
        ('images', dict(num=1), 'num must be at least 2, one for each split, got 1'),
        ('coco', dict(seed=-1), 'seed must be 0 or more, got -1'),
        ('images', dict(size_hw=(16, 64)), 'at least 32 pixels per side, got 16x64'),
        ('images', dict(val_fraction=1.5), 'val_fraction must be between 0 and 1, got 1.5'),
        ('davis', dict(frames=4), 'frames must be at least 5 for the layout davis, got 4'),
        ('uavdt', dict(frames=0), 'frames must be at least 1 for the layout uavdt, got 0'),
    ],
)
def test_an_impossible_request_is_named_before_anything_is_written(tmp_path, layout, changes, message):
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / 'out', layout, TreeRequest(**dict(num=4, frames=5, **SMALL) | changes))
    assert not list(tmp_path.iterdir())
