"""MMEngine's own loading inside `safe_mmengine_loading`: resumes its files, runs nothing that they carry."""

import os
import pickle
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from mmengine.runner import Runner
from mmengine.runner import checkpoint as mm_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint

from flsl_mm.checkpoint import CheckpointError
from flsl_mm.engine.safe_loading import safe_mmengine_loading
from tests.builders.checkpoints import equal_states
from tests.builders.nonsense import Call
from tests.builders.toy_run import classifier_runner


def runner(folder: Path, epochs: int, **options) -> Runner:
    torch.manual_seed(0)
    options['param_scheduler'] = [dict(type='LinearLR', start_factor=0.5, end=3, by_epoch=True)]
    return classifier_runner(folder, epochs, optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)), **options)


def test_mmengine_resumes_its_own_checkpoints(tmp_path):
    whole = runner(tmp_path / 'whole', 2)
    whole.train()
    runner(tmp_path / 'parts', 1).train()
    path = tmp_path / 'parts' / 'epoch_1.pth'
    saved = torch.load(path, weights_only=False)
    marker = tmp_path / 'marker'
    saved['meta']['config'] = f'import pathlib\npathlib.Path({str(marker)!r}).touch()\n'
    torch.save(saved, path)
    resumed = runner(tmp_path / 'parts', 2, resume=True, load_from=str(path))
    with safe_mmengine_loading():
        resumed.train()
    assert not marker.exists(), 'the config inside the checkpoint was run'
    assert resumed.epoch == 2
    assert equal_states(whole.model, resumed.model)
    losses = resumed.message_hub.get_scalar('train/loss')
    assert len(losses.data[0]) == len(whole.message_hub.get_scalar('train/loss').data[0]) == 4


def test_mmengine_refuses_code_inside_the_context_only(tmp_path, monkeypatch):
    marker, path = tmp_path / 'marker', tmp_path / 'bad.pth'
    torch.save({'state_dict': {}, 'optimizer': Call(os.system, f'touch {marker}')}, path)
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    loader = CheckpointLoader._get_checkpoint_loader('a.pth')
    with safe_mmengine_loading():
        with pytest.raises(CheckpointError, match='refused'), safe_mmengine_loading():
            _load_checkpoint(str(path))
        with pytest.raises(CheckpointError, match='refused'):
            _load_checkpoint(str(path))
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=False)
    assert not marker.exists()
    assert CheckpointLoader._get_checkpoint_loader('a.pth') is loader
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Have ``torchvision://small`` name a file that a server on this machine gives; returns its folder."""
    folder = tmp_path / 'served'
    folder.mkdir()
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}/small.pth'
        monkeypatch.setattr('mmengine.runner.checkpoint.get_torchvision_models', lambda: dict(small=address))
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
        yield folder
        server.shutdown()


@pytest.mark.parametrize(
    ('content', 'line'),
    [
        (lambda marker: dict(weight=Call(os.system, f'touch {marker}')), 'is refused: reading it would call or build'),
        (lambda marker: dict(weight=torch.full((2,), float('nan'))), 'is damaged: weight has values that are not'),
    ],
)
def test_what_mmengine_downloads_is_checked_as_any_file(content, line, served, tmp_path):
    torch.save(content(tmp_path / 'marker'), served / 'small.pth')
    with safe_mmengine_loading(), pytest.raises(CheckpointError, match=line):
        _load_checkpoint('torchvision://small')
    assert not (tmp_path / 'marker').exists()


def test_what_mmengine_downloads_is_kept(served, tmp_path):
    torch.save(dict(weight=torch.ones(2)), served / 'small.pth')
    with safe_mmengine_loading():
        for _ in range(2):
            assert torch.equal(_load_checkpoint('torchvision://small')['weight'], torch.ones(2))
            (served / 'small.pth').unlink(missing_ok=True)
        assert (tmp_path / 'hub' / 'hub' / 'checkpoints' / 'small.pth').is_file()
        address = mm_checkpoint.get_torchvision_models()['small'].replace('small', 'other')
        with pytest.raises(OSError, match=r'other\.pth cannot be fetched \(.*404.*\): fetch it by other means'):
            _load_checkpoint(address)
