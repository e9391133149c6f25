"""The program that writes trees of scenes: options, what it says, and its errors."""

import json

import pytest

from flsl_mm.commands import make_scenes
from flsl_mm.scenes.writers import WRITERS


def run(*arguments) -> int:
    return make_scenes.main([*map(str, arguments)])


def test_it_offers_every_layout():
    assert list(make_scenes.LAYOUTS) == list(WRITERS)


def test_it_says_what_it_wrote(tmp_path, capsys):
    out = tmp_path / 'out'
    assert run(out, '--layout', 'coco', '--num', 4, '--size', '48x64', '--seed', 3) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads((out / 'annotations' / 'instances_train.json').read_text())
    assert lines == [
        f'wrote {out} (coco)',
        f'  train: 3 images, {len(written["annotations"])} objects of 6 classes',
        lines[2],
        f'preview: {out}/preview.png',
        f'use it:     SCENES_ROOT={out} flsl-mm train det/mask-rcnn_flsl-vit-t16_fpn_scenes',
    ]


def test_options_reach_the_tree(tmp_path):
    out = tmp_path / 'out'
    options = ('--num', 5, '--frames', 3, '--val-fraction', 0.4, '--size', '32x40', '--seed', 7, '--img1')
    assert run(out, '--layout', 'uavdt', *options) == 0
    manifest = json.loads((out / 'scenes.json').read_text())
    expected = dict(num=5, frames=3, val_fraction=0.4, size_hw=[32, 40], seed=7, image_folder=True)
    assert {key: manifest[key] for key in expected} == expected
    assert len(list((out / 'UAV-benchmark-M' / 'S0005' / 'img1').iterdir())) == 3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('--num 1', 'num must be at least 2'),
        ('--seed -1', 'seed must be 0 or more'),
        ('--size 16x64', 'at least 32 pixels per side'),
        ('--val-fraction 1.5', 'val_fraction must be between 0 and 1'),
        ('--layout davis --frames 4', 'frames must be at least 5 for the layout davis'),
    ],
)
def test_bad_options_give_one_line(tmp_path, capsys, options, message):
    layout = () if '--layout' in options else ('--layout', 'images')
    assert run(tmp_path / 'out', *layout, *options.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert message in error
    assert error.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_named(tmp_path, capsys):
    (tmp_path / 'thesis.txt').write_text('precious')
    for options, message in (((), 'is not empty'), (('--force',), 'holds thesis.txt, which make-scenes did not write')):
        assert run(tmp_path, '--layout', 'images', '--num', 2, '--size', '32x32', *options) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / 'thesis.txt').read_text() == 'precious'


def test_malformed_size_is_explained(capsys):
    with pytest.raises(SystemExit):
        run('out', '--layout', 'images', '--size', '64')
    assert "'64' is not HEIGHTxWIDTH" in capsys.readouterr().err
