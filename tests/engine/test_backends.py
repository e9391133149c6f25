"""Backends: atomic writes with an error that says what to do, JSON whatever is logged, viewers of curves."""

import json
import os
import time

import pytest
from mmengine.config import Config
from mmengine.fileio import get_file_backend

from flsl_mm.engine import FLSLAtomicBackend, FLSLVisBackend
from flsl_mm.engine.backends import VIEWERS, add_vis_backend
from flsl_mm.evaluation.probes import FLSLProbeHook
from tests.builders.toy_run import toy_runner

BACKEND = dict(backend='FLSLAtomicBackend')


def test_writes_and_makes_folders(tmp_path):
    backend = get_file_backend(backend_args=BACKEND)
    path = tmp_path / 'new' / 'file.pth'
    backend.put(b'one', path)
    backend.put(b'two', str(path))
    assert path.read_bytes() == b'two'
    backend.put_text('drei\u2026', path)
    assert path.read_text('utf-8') == 'drei\u2026'
    assert os.listdir(path.parent) == ['file.pth']


def test_full_disk_keeps_the_earlier_file(tmp_path, full_disk):
    path = tmp_path / 'file.pth'
    path.write_bytes(b'good')
    with pytest.raises(OSError, match=r'cannot write .*file\.pth \(No space left on device\); earlier .* make room'):
        FLSLAtomicBackend().put(b'new', path)
    assert path.read_bytes() == b'good'
    assert os.listdir(tmp_path) == ['file.pth']


def test_numbers_that_json_does_not_know_are_null(tmp_path):
    backend = FLSLVisBackend(str(tmp_path))
    backend.add_scalars(dict(loss=float('nan'), rate=float('inf'), best=0.5, epoch=2), step=7)
    backend.add_scalar('loss', float('-inf'), step=8)
    rows = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / 'scalars.json').read_text().splitlines()
    ]
    assert rows == [dict(loss=None, rate=None, best=0.5, epoch=2, step=7), dict(loss=None, step=8)]


@pytest.mark.parametrize('name', VIEWERS)
def test_a_viewer_is_added_once(name, monkeypatch):
    monkeypatch.setattr('flsl_mm.engine.backends.find_spec', lambda name: True)
    cfg = Config(dict(work_dir='work_dirs/mine', visualizer=dict(type='X', vis_backends=[dict(type='FLSLVisBackend')])))
    for _ in range(2):
        add_vis_backend(cfg, name)
    assert [backend.type for backend in cfg.visualizer.vis_backends] == ['FLSLVisBackend', VIEWERS[name]]
    monkeypatch.setattr('flsl_mm.engine.backends.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=rf"--{name} needs {name}: pip install 'flsl_mm\[{name}\]'"):
        add_vis_backend(cfg, name)


@pytest.mark.parametrize('name', VIEWERS)
def test_a_run_writes_losses_and_probes_for_the_viewer(name, tmp_path, monkeypatch):
    pytest.importorskip(name)
    for key, value in dict(WANDB_MODE='offline', WANDB_SILENT='true', WANDB_DIR=str(tmp_path)).items():
        monkeypatch.setenv(key, value)
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(type='Visualizer', vis_backends=[])))
    add_vis_backend(cfg, name)
    hook = FLSLProbeHook(scenes=dict(num_scenes=2, size=96), num_images=0)
    logger = dict(logger=dict(type='LoggerHook', interval=1))
    runner = toy_runner(tmp_path, [hook], epochs=1, visualizer=cfg.visualizer, default_hooks=logger)
    runner.train()
    runner.visualizer.close()
    if name == 'tensorboard':
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (file,) = tmp_path.rglob('events.out.tfevents*')
        events = EventAccumulator(str(file)).Reload()
        assert len(events.Scalars('loss')) == 4
        assert [event.step for event in events.Scalars('probe/scenes/matched_auc')] == [0, 4]
    else:
        (file,) = tmp_path.rglob('*.wandb')
        deadline = time.monotonic() + 60
        while b'probe/scenes/matched_auc' not in file.read_bytes():  # wandb's own process writes
            assert time.monotonic() < deadline, 'the probe was not written'
            time.sleep(0.1)
