"""A trained detector or segmentor on images, from its work folder alone: by the command, and in one line of Python."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

pytest.importorskip('mmdet')

from mmengine.runner import Runner

import flsl_mm
from flsl_mm.commands import predict as command
from flsl_mm.commands.predict import find_weights
from tests.builders.images import make_image
from tests.builders.programs import refused
from tests.builders.segmentors import CLASSES, tiny_config, write_folder
from tests.builders.small_detector import scenes_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('fresh_logger')]


def save_untrained(cfg, folder, classes):
    """Write config and checkpoint of a model as its training does, without training it."""
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(str(folder / 'config.py'))
    meta = dict(dataset_meta=dict(classes=tuple(classes), palette=[(9 * i, 0, 99) for i in range(len(classes))]))
    torch.save(dict(state_dict=runner.model.state_dict(), meta=meta), folder / 'epoch_1.pth')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    cfg = scenes_config(folder)
    cfg.model.test_cfg.rcnn.score_thr = 0.0
    save_untrained(cfg, folder / 'run', [f'class {number}' for number in range(6)])
    return folder / 'run'


@pytest.fixture
def images(tmp_path):
    (tmp_path / 'in').mkdir()
    for number, name in enumerate(('a', 'b')):
        make_image(64, 48, number).save(tmp_path / 'in' / f'{name}.png')
    (tmp_path / 'in/bad.jpg').write_bytes(b'no image')
    return tmp_path / 'in'


def run(*arguments) -> int:
    return command.main([str(argument) for argument in (*arguments, '--device', 'cpu')])


def test_a_detector(detector, images, tmp_path, capsys):
    assert run(detector, images, '--out', tmp_path / 'out', '--score', 0) == 0
    told = capsys.readouterr()
    assert f'checkpoint: {detector / "epoch_1.pth"}\n' in told.out
    assert told.out.endswith(f'2 images: drawn in {tmp_path / "out"}, results in {tmp_path / "out/results.json"}\n')
    assert 'bad.jpg (no image of a kind that is read' in told.err
    assert 'Loads checkpoint' not in told.out
    report = json.loads((tmp_path / 'out/results.json').read_text())
    assert list(report['skipped']) == [str(images / 'bad.jpg')]
    assert [entry['image'] for entry in report['images']] == [str(images / 'a.png'), str(images / 'b.png')]
    for entry, name in zip(report['images'], ('0001_a.jpg', '0002_b.jpg'), strict=True):
        assert entry['drawn'] == name
        with Image.open(tmp_path / 'out' / name) as drawn:
            assert drawn.size == (64, 48)
    detections = report['images'][0]['detections']
    assert len(detections) > 0
    scores = [detection['score'] for detection in detections]
    assert scores == sorted(scores, reverse=True)
    first = detections[0]
    assert first['class'] == f'class {first["label"]}'
    left, top, right, bottom = first['box']
    assert 0 <= left <= right <= 64
    assert 0 <= top <= bottom <= 48
    assert rle.decode(first['mask']).shape == (48, 64)

    assert flsl_mm.predict(detector / 'epoch_1.pth', images / 'a.png', device='cpu') == [
        {key: value for key, value in report['images'][0].items() if key != 'drawn'}
    ]


def test_a_segmentor(images, tmp_path):
    pytest.importorskip('mmseg')
    folder = tmp_path / 'run'
    save_untrained(tiny_config(write_folder(tmp_path / 'data'), tmp_path / 'work'), folder, CLASSES)
    (result,) = flsl_mm.predict(folder, [images / 'a.png'], tmp_path / 'out', device='cpu')
    assert result['label_map'].shape == (48, 64)
    assert sum(result['shares'].values()) == pytest.approx(1)
    assert set(result['shares']) <= set(CLASSES)
    (entry,) = json.loads((tmp_path / 'out/results.json').read_text())['images']
    assert np.array_equal(np.array(Image.open(tmp_path / 'out' / entry['label_map'])), result['label_map'])
    assert (tmp_path / 'out' / entry['drawn']).is_file()


def test_the_best_checkpoint_goes_before_the_newest(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint in'):
        find_weights(tmp_path)
    for name in ('epoch_2.pth', 'epoch_10.pth', 'epoch_10_backbone.pth'):
        (tmp_path / name).touch()
    assert find_weights(tmp_path).name == 'epoch_10.pth'
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth')
    assert find_weights(tmp_path).name == 'epoch_2.pth'
    (tmp_path / 'best_coco_bbox_mAP_epoch_1.pth').touch()
    assert find_weights(tmp_path).name == 'best_coco_bbox_mAP_epoch_1.pth'
    assert find_weights(tmp_path / 'epoch_2.pth').name == 'epoch_2.pth'


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (('none', 'in'), 'no work folder or checkpoint'),
        (('empty', 'in'), 'no checkpoint in'),
        (('ours.pth', 'in'), 'no config in .*'),
        (('ours.pth', 'in', '--config', 'pretrain/flsl_vit-s16'), 'is of no detector or segmentor'),
        (('run', 'in/none.png'), 'no image or folder'),
        (('run', 'in/bad.jpg'), 'none of the 1 images can be read, .*bad.jpg for one: no image'),
        (('ours.pth', 'in', '--config', 'run/config.py'), 'ours.pth'),  # a backbone alone
    ],
)
def test_mistakes_are_told_in_one_line(arguments, line, detector, here, capsys):
    (here / 'run').symlink_to(detector)
    given = [*arguments, '--out', 'out', '--device', 'cpu']
    assert re.search(line, refused(command.main, given, capsys, alone=False))
