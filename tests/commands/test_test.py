"""tools/test.py: where its checkpoint goes, and one line for every mistake."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.registry import MODELS

import flsl_mm.engine  # noqa: F401  imports check_strict, before it is replaced here
from flsl_mm import checkpoint
from flsl_mm.checkpoint import load_backbone
from flsl_mm.commands import command_line
from flsl_mm.commands import test as program
from tests.builders.checkpoints import file_of, tiny
from tests.builders.programs import refused

DETECTION = 'configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py'
DAVIS = 'configs/vos/flsl_vit-t16_davis2016.py'
WITHOUT_COCO = [DETECTION, 'none', '--cfg-options', 'test_evaluator.type=X']


@pytest.fixture
def done(monkeypatch) -> list:
    """What the program would do: the config of the run, the file that must be whole, the test."""
    steps = []
    runner = SimpleNamespace(model='model', test=lambda: steps.append('test'))
    monkeypatch.setattr(command_line, 'build_runner', lambda cfg: steps.append(cfg) or runner)
    monkeypatch.setattr(checkpoint, 'check_strict', lambda model, path, **options: steps.append((model, path)))
    return steps


def test_a_detector_is_loaded_whole(done):
    assert program.main([DETECTION, 'epoch_1.pth']) == 0
    cfg, whole, last = done
    assert (cfg.load_from, whole, last) == ('epoch_1.pth', ('model', 'epoch_1.pth'), 'test')
    assert cfg.model == Config.fromfile(DETECTION).model


@pytest.mark.parametrize(('config', 'folder'), [(DETECTION, 'work/test'), (DAVIS, 'work')])
def test_the_folder_of_a_training_is_left_alone(config, folder, done):
    """Its config there, with which it can be resumed, was written anew."""
    assert program.main([config, 'none', '--work-dir', 'work']) == 0
    assert done[0].work_dir == folder
    assert done[0].model == Config.fromfile(config).model


@pytest.mark.parametrize('given', [True, False])
def test_a_label_propagator_takes_the_backbone(done, tmp_path, given):
    """And its geometry, unless the command line says another."""
    path = str(tmp_path / 'epoch_1_backbone.pth')
    torch.save(file_of(tiny()), path)
    options = ['--cfg-options', 'model.backbone.patch_size=4'] if given else []
    assert program.main([DAVIS, path, '--keep-going', *options]) == 0
    cfg, last = done
    assert (cfg.model.checkpoint, cfg.load_from, last) == (path, None, 'test')
    assert cfg.test_dataloader.dataset.keep_going is True
    if given:
        assert cfg.model.backbone.arch == Config.fromfile(DAVIS).model.backbone.arch
        assert cfg.model.backbone.patch_size == 4
        return
    made = MODELS.build(cfg.model.backbone)
    assert made.spec.differences(tiny().spec) == {}
    assert load_backbone(made, path)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['none.py', 'none'], "no config file 'none.py'"),
        ([DAVIS, 'none.pth'], 'checkpoint none.pth does not exist'),
        ([DETECTION, 'none', '--keep-going'], '--keep-going is for DAVIS configs'),
        ([DAVIS, 'none', '--show-dir', 'a'], '--show-dir and --out are for detectors and segmentors'),
        ([DETECTION, 'none', '--show-dir', 'setup.py/a'], 'cannot write'),
        ([DETECTION, 'none', '--out', 'setup.py/a.json'], 'cannot write'),
        ([*WITHOUT_COCO, '--out', 'a.json'], 'needs a CocoMetric'),
    ],
)
def test_mistakes(done, capsys, options, line):
    assert line in refused(program.main, options, capsys)
    assert done == []


def test_the_ending_of_the_output(capsys):
    with pytest.raises(SystemExit):
        program.main([DETECTION, 'none', '--out', 'a.csv'])
    assert '--out ends in .json or .pkl' in capsys.readouterr().err
