"""The program that writes trees of scenes: options, what it says, and its errors."""

import json

import pytest

from flsl_mm.commands import make_scenes
from flsl_mm.scenes import writers
from flsl_mm.scenes.writers import WRITERS
from tests.builders.programs import refused


def run(*arguments) -> int:
    return make_scenes.main([*map(str, arguments)])


def test_it_says_what_it_wrote(tmp_path, capsys):
    out = tmp_path / 'out'
    assert run(out, '--layout', 'coco', '--num', 4, '--size', '48x64', '--seed', 3) == 0
    head, train, _, preview, use = capsys.readouterr().out.splitlines()
    objects = len(json.loads((out / 'annotations' / 'instances_train.json').read_text())['annotations'])
    assert (head, train) == (f'wrote {out} (coco)', f'  train: 3 images, {objects} objects of 6 classes')
    assert preview == f'preview: {out}/preview.png'
    assert use.endswith(f'SCENES_ROOT={out} flsl-mm train det/mask-rcnn_flsl-vit-t16_fpn_scenes')


def test_options_reach_the_tree(tmp_path):
    out = tmp_path / 'out'
    options = ('--num', 5, '--frames', 3, '--val-fraction', 0.4, '--size', '32x40', '--seed', 7, '--img1')
    assert run(out, '--layout', 'uavdt', *options) == 0
    manifest = json.loads((out / 'scenes.json').read_text())
    expected = dict(num=5, frames=3, val_fraction=0.4, size_hw=[32, 40], seed=7, image_folder=True)
    assert {key: manifest[key] for key in expected} == expected
    assert len(list((out / 'UAV-benchmark-M' / 'S0005' / 'img1').iterdir())) == 3


def test_bad_options_and_a_folder_in_use_give_one_line(tmp_path, capsys):
    (tmp_path / 'thesis.txt').write_text('precious')
    for options, message in (
        ('--layout davis --frames 4', 'frames must be at least 5 for the layout davis'),
        ('--layout images', 'is not empty'),
        ('--layout images --force', 'holds thesis.txt, which make-scenes did not write'),
    ):
        assert message in refused(make_scenes.main, [tmp_path, *options.split()], capsys)
    assert [path.read_text() for path in tmp_path.iterdir()] == ['precious']


def test_malformed_size_is_explained(capsys):
    assert list(make_scenes.LAYOUTS) == list(WRITERS)
    with pytest.raises(SystemExit):
        run('out', '--layout', 'images', '--size', '64')
    assert "'64' is not HEIGHTxWIDTH" in capsys.readouterr().err


def test_interrupted_in_one_line(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writers, 'write_scenes', stop)
    assert run(tmp_path / 'out', '--layout', 'coco') == 130
    assert capsys.readouterr().err == 'interrupted\n'
