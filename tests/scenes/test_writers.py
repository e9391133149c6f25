"""Writing a tree of any layout: the same bytes again, atomically; and image folders."""

import json
from pathlib import Path

import numpy as np
import pytest

from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.painter import render_scene
from flsl_mm.scenes.writers import WRITERS, write_scenes
from flsl_mm.utils.version import __version__
from tests.builders.scene_trees import REQUESTS, SMALL, assert_jpeg_of, files_of, pixels


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp('trees')
    for layout, request in REQUESTS.items():
        write_scenes(root / layout, layout, request)
    return root


@pytest.mark.parametrize('layout', WRITERS)
def test_the_same_request_gives_the_same_bytes(trees, tmp_path, layout):
    write_scenes(tmp_path / 'again', layout, REQUESTS[layout])
    assert files_of(trees / layout) == files_of(tmp_path / 'again')


@pytest.mark.parametrize('layout', WRITERS)
def test_manifest_and_preview(trees, layout):
    manifest = json.loads((trees / layout / 'scenes.json').read_text())
    expected = dict(vars(REQUESTS[layout]), layout=layout, version=__version__, size_hw=[48, 64])
    del expected['progress']
    files = [path for path in (trees / layout).rglob('*') if path.is_file() and path.name != 'scenes.json']
    expected['files'] = sorted(str(path.relative_to(trees / layout)) for path in files)
    assert manifest == expected
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


@pytest.mark.parametrize(
    ('layout', 'changes', 'message'),
    [
        ('kitti', {}, "unknown layout 'kitti'"),
        ('images', dict(num=1), 'num must be at least 2'),
        ('coco', dict(seed=-1), 'seed must be 0 or more'),
        ('images', dict(size_hw=(16, 64)), 'at least 32 pixels per side, got 16x64'),
        ('images', dict(val_fraction=1.5), 'val_fraction must be between 0 and 1'),
        ('davis', dict(frames=4), 'frames must be at least 5 for the layout davis'),
        ('uavdt', dict(frames=0), 'frames must be at least 1 for the layout uavdt'),
    ],
)
def test_an_impossible_request_is_named_before_anything_is_written(tmp_path, layout, changes, message):
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / 'out', layout, TreeRequest(**dict(num=4, frames=5, **SMALL) | changes))
    assert not list(tmp_path.iterdir())
