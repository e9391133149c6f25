"""The converter as a program: what it writes and prints, and that a failed run leaves an earlier good output alone."""

import errno
import json
from pathlib import Path

import pytest
from PIL import Image

from flsl_mm.commands import uavdt2coco
from flsl_mm.uavdt.convert import CocoSplitWriter
from tests.builders.uavdt_tree import write_sequence

OUTPUT = ['check_sheet.png', 'instances_test.json', 'instances_train.json']


def run(*arguments) -> int:
    return uavdt2coco.main([*map(str, arguments), '--workers', '0'])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def tree(tmp_path) -> Path:
    root = tmp_path / 'uavdt'
    boxes = [(number, 1, 2, 3, 20, 10, 1, 1, category) for number in range(1, 6) for category in (1, 3)]
    write_sequence(root, 'M0101', boxes, [(1, 1, 40, 30, 10, 10)], frames=5)
    write_sequence(root, 'M0203', [(1, 1, 2, 3, 20, 10, 1, 1, 2)], frames=2, size=(96, 54), folder='img1')
    return root


def test_writes_a_file_per_split_and_a_sheet_and_says_what_is_in_them(tree, tmp_path, capsys):
    out = tmp_path / 'annotations'
    assert run(tree, '--out', out) == 0
    assert sorted(contents(out)) == OUTPUT
    train, test = (json.loads((out / f'instances_{split}.json').read_text()) for split in ('train', 'test'))
    assert (len(train['images']), len(train['annotations'])) == (5, 11)
    assert (len(test['images']), len(test['annotations'])) == (2, 1)
    assert test['images'][0]['file_name'] == 'UAV-benchmark-M/M0203/img1/img000001.jpg'
    with Image.open(out / 'check_sheet.png') as sheet:
        assert sheet.width > 1900
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['train', 'all', '5', '10', '1'] in lines
    assert ['bus', '5', '5'] in lines
    assert ['test', 'all', '2', '1', '0'] in lines
    assert run(tree, '--out', out, '--frame-stride', 2, '--classes', 'vehicle') == 0
    train = json.loads((out / 'instances_train.json').read_text())
    assert [image['frame'] for image in train['images']] == [1, 3, 5]
    assert train['info']['frame_stride'] == 2
    assert [category['name'] for category in train['categories']] == ['vehicle']


def test_an_error_in_one_of_several_processes(tree, tmp_path, capsys):
    (tree / 'UAV-benchmark-M/M0101/img000004.jpg').unlink()
    assert uavdt2coco.main([str(tree), '--out', str(tmp_path / 'out'), '--workers', '2']) == 2
    output = capsys.readouterr()
    assert output.out == ''
    # The last line, after the progress bar.
    assert output.err.splitlines()[-1].startswith('error: no image of frame 4 of M0101 in ')
    assert 'Traceback' not in output.err
    assert contents(tmp_path / 'out') == {}


BOXES, IMAGE = 'UAV-benchmark-MOTD_v1.0/GT/M0203_gt_whole.txt', 'UAV-benchmark-M/M0203/img1/img000002.jpg'


@pytest.mark.parametrize(
    ('broken', 'error', 'message'),
    [
        (BOXES, None, 'M0203_gt_whole.txt, line 1: 1 columns'),
        (IMAGE, None, 'cannot be read'),
        (None, 'full disk', 'is full; what was there before is unchanged'),
        (None, OSError(errno.EIO, 'Input/output error'), ''),
        (None, KeyboardInterrupt(), ''),
    ],
)
def test_the_earlier_output_stays(tree, tmp_path, capsys, monkeypatch, request, broken, error, message):
    out = tmp_path / 'annotations'
    assert run(tree, '--out', out) == 0
    before = contents(out)
    capsys.readouterr()
    if broken:
        (tree / broken).write_text('2')
    elif error == 'full disk':
        request.getfixturevalue('full_disk')
    else:
        monkeypatch.setattr(CocoSplitWriter, 'finish', lambda writer: (_ for _ in ()).throw(error))
    assert run(tree, '--out', out) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    output = capsys.readouterr()
    assert message in output.err.rpartition('error: ')[2]
    assert output.out == ''
    assert contents(out) == before


@pytest.mark.parametrize('arguments', [('--frame-stride', '0'), ('--frame-stride', 'x'), ('--classes', 'four')])
def test_wrong_options_are_refused(tree, tmp_path, arguments):
    with pytest.raises(SystemExit) as caught:
        run(tree, '--out', tmp_path / 'out', *arguments)
    assert caught.value.code == 2
    assert not (tmp_path / 'out').exists()
