"""What pretraining feeds the network, drawn: any config, any folder; small images are told."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from flsl_mm.commands import show_views
from flsl_mm.commands.show_views import COLORS, TEACHER_COLOR, draw_rows, make_views, read_pretraining
from flsl_mm.datasets import images
from flsl_mm.selfsup.crops import crop_resize
from flsl_mm.selfsup.views import FLSLDataPreprocessor
from tests.builders.images import make_image
from tests.builders.programs import refused

pytestmark = pytest.mark.usefixtures('fresh_logger')

SMALL = ('--config', 'pretrain/flsl_vit-t8d4_small')


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'in/deep').mkdir(parents=True)
    for number, name in enumerate(('a.png', 'b.png', 'deep/c.png')):
        make_image(260, 240, number).save(tmp_path / 'in' / name)
    return tmp_path / 'in'


def run(*arguments) -> int:
    return show_views.main([str(argument) for argument in arguments])


@pytest.mark.parametrize('config', ['pretrain/flsl_vit-t8d4_small', 'pretrain/flsl_vit-t16_scenes'])
def test_a_sheet_of_any_config(config, folder, tmp_path, capsys):
    assert run(folder, '--config', config, '--out', tmp_path / 'views.png', '--images', 2) == 0
    told = capsys.readouterr()
    assert told.out.endswith(f'2 of 3 images as {config} sees them: open {tmp_path / "views.png"}\n')
    assert 'enlarged' not in told.err
    with Image.open(tmp_path / 'views.png') as sheet:
        assert sheet.width > 5 * 224
        assert sheet.height > 2 * 224
    (folder / 'x.heic').touch()
    for name in ('a', 'b'):
        make_image(64, 500).save(folder / f'{name}.png')
    assert run(folder, '--config', config, '--out', tmp_path / 'views.png') == 0
    told = ''.join(capsys.readouterr())
    assert re.search('warning: 2 of 3 images have fewer than .* pixels on a side and are enl', told)
    assert re.search(r'^(\d\d:){2}\d\d warning: left out of .* 1 \.heic', told, re.MULTILINE)
    assert 'show-views' not in told  # which this is


def test_rows_show_the_views_of_the_config(folder):
    args = show_views.parse_args([str(folder), '--cfg-options', 'model.data_preprocessor.local_crops.num=1'])
    cfg = read_pretraining(args)
    dataset = images.FLSLImages(folder, size=224)
    rows = draw_rows(cfg, dataset, 10, seed=0)
    assert [row.name for row in rows] == list(dataset.paths)
    titles = [panel.title.splitlines()[1] for panel in rows[0].panels]
    assert titles[1:] == ['224 pixels', '224 pixels, 49 queries of 196 patches', '96 pixels, 9 queries of 36 patches']
    again = draw_rows(cfg, dataset, 10, seed=0)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(rows[0].panels, again[0].panels, strict=True))
    assert {tuple(color) for color in rows[0].panels[0].image.reshape(-1, 3).tolist()} >= set(COLORS[:2])


def test_views_are_those_of_the_training():
    """Crops by their boxes, and jitter that is not there where it is switched off."""
    off = dict(jitter_prob=0, gray_prob=0, blur_prob=(0, 0), solarize_prob=(0, 0))
    preprocessor = FLSLDataPreprocessor(global_crops=dict(size=32), local_crops=dict(size=16), photometric=off)
    teacher = torch.from_numpy(np.array(make_image(64, 64))).permute(2, 0, 1)[None]
    whole, boxes, shown = make_views(preprocessor, teacher, seed=3)
    assert [view.shape[-1] for view in shown] == [64, 32, 16, 16]
    assert [box.shape for box in boxes] == 4 * [(1, 4)]
    for box, view in zip(boxes, shown, strict=True):
        torch.testing.assert_close(view, crop_resize(whole, box * 64, view.shape[-1]), atol=1e-5, rtol=0)


def test_a_teacher_crop_is_drawn_in_the_image_with_all_boxes(folder):
    """Crops leave the teacher view; in the image of the loader all sides of their boxes are seen."""
    args = show_views.parse_args([str(folder), '--config', 'pretrain/flsl_vit-t8d4_content'])
    cfg = read_pretraining(args)
    first, second = draw_rows(cfg, images.FLSLImages(folder, size=128), 1, seed=0)[0].panels[:2]
    assert first.title == 'image of 128 pixels\nwith the boxes of the crops'
    assert second.title == 'the teacher gets\n96 pixels'
    assert {tuple(color) for color in first.image.reshape(-1, 3).tolist()} >= {TEACHER_COLOR, *COLORS[:3]}
    assert tuple(second.image[0, 0]) == TEACHER_COLOR
    whole = torch.stack([images.FLSLImages(folder, size=128)[0]['inputs']])
    boxes = make_views(FLSLDataPreprocessor(**_without_type(cfg)), whole, seed=0)[1]
    assert all(box.min() >= 0 and (box[:, :2] + box[:, 2:]).max() <= 1 for box in boxes)


def _without_type(cfg) -> dict:
    return {name: value for name, value in cfg.model.data_preprocessor.items() if name != 'type'}


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (('IN/none',), 'no image folder at .*none'),
        (('IN', '--config', 'nothing'), "no config file 'nothing'"),
        (('IN', '--config', 'det/mask-rcnn_flsl-vit-s16_fpn_1x_coco'), 'give a pretraining config'),
        (('IN', *SMALL, '--cfg-options', 'model.data_preprocessor.global_crops.size=100'), 'not a multiple of patch'),
        (('IN', '--out', 'IN/a.png/x.png'), 'cannot write'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, line, folder, tmp_path, capsys):
    given = [argument.replace('IN', str(folder)) for argument in arguments]
    given = ['--out', tmp_path / 'views.png', *given]
    assert re.search(line, refused(show_views.main, given, capsys, alone=False))
