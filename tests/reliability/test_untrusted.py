"""A run cannot be resumed from a file that carries code, and can be from its own files, whatever the MMEngine."""

import os
from pathlib import Path

import pytest
import torch

from flsl_mm.checkpoint import read_checkpoint
from tests.builders.children import OUTPUT, train
from tests.builders.toy_run import toy_config, write_images


class Payload:
    """Pickles as a call of ``os.system``."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


@pytest.fixture(scope='module')
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """Return the images and the folder of a run of one epoch."""
    images, folder = tmp_path_factory.mktemp('images'), tmp_path_factory.mktemp('finished')
    assert train(toy_config(write_images(images), folder, train_cfg__max_epochs=1)) == 0
    return images, folder


@pytest.fixture
def poisoned(finished, tmp_path) -> tuple[Path, Path]:
    """Copy the last checkpoint with code in the optimizer's state; returns it and the file that the code would make."""
    marker, path = tmp_path / 'marker', tmp_path / 'iter_6.pth'
    content = read_checkpoint(finished[1] / 'iter_6.pth')
    state = next(iter(content['optimizer']['state'].values()))
    state['step'] = Payload(f'touch {marker}')
    torch.save(content, path)
    return path, marker


def test_code_in_a_named_checkpoint_ends_the_run_with_a_line(finished, poisoned, tmp_path):
    path, marker = poisoned
    work_dir = tmp_path / 'work'
    assert train(toy_config(finished[0], work_dir, load_from=str(path))) == 2
    last = (work_dir / OUTPUT).read_text().splitlines()[-1]
    assert last.startswith(f'error: {path} is refused: reading it would call or build')
    assert not marker.exists()


def test_code_in_the_newest_checkpoint_is_passed_over(finished, poisoned, tmp_path):
    path, marker = poisoned
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    path.rename(work_dir / 'iter_6.pth')
    (work_dir / 'iter_4.pth').write_bytes((finished[1] / 'iter_4.pth').read_bytes())
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_6.pth'))
    assert train(toy_config(finished[0], work_dir, train_cfg__max_epochs=1)) == 0
    output = (work_dir / OUTPUT).read_text()
    assert f'passed over a checkpoint: {work_dir / "iter_6.pth"} is refused' in output
    assert f'Load checkpoint from {work_dir / "iter_4.pth"}' in output
    assert not marker.exists()


def test_weights_of_a_run_start_another_one(finished, tmp_path):
    source = finished[1] / 'iter_6.pth'
    cfg = toy_config(finished[0], tmp_path, resume=False, load_from=str(source), train_cfg__max_epochs=1)
    assert train(cfg) == 0
    output = (tmp_path / OUTPUT).read_text()
    assert f'Load checkpoint from {source}' in output
    assert 'resumed' not in output
