"""Ctrl-C saves a checkpoint and leaves no process behind; a full disk leaves the last good checkpoint and one line."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flsl_mm.checkpoint import read_checkpoint
from tests.builders.children import OUTPUT, Fault, train
from tests.builders.toy_run import ITERATIONS, toy_config, write_images

LOADER = dict(train_dataloader__num_workers=2, train_dataloader__persistent_workers=True)


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp('images'))


def shared_memory() -> set[Path]:
    """List the segments in which torch's loader workers hand on batches (Linux)."""
    return set(Path('/dev/shm').glob('torch_*'))


def assert_no_shared_memory_is_left(before: set[Path]) -> None:
    """Look for new segments; those of other programs come and go, and have a process: torch_<pid>_<number>."""
    new = shared_memory() - before
    assert not [path for path in new if not Path('/proc', path.name.split('_')[1]).exists()]


class WriteWorkers(Hook):
    """Writes the process ids of the loader's workers that live in the last iteration."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == ITERATIONS - 1:
            workers = [str(process.pid) for process in multiprocessing.active_children()]
            (Path(runner.work_dir) / 'workers.txt').write_text('\n'.join(workers))


def write_workers(runner: Runner) -> None:
    runner.register_hook(WriteWorkers())


@pytest.mark.parametrize('group', [False, True], ids=['the process', 'the terminal'])
def test_ctrl_c_leaves_nothing_behind(group, tmp_path, images):
    before = shared_memory()
    # train() waits until the last process of the group is gone.
    assert train(toy_config(images, tmp_path, **LOADER), Fault(5, signum=signal.SIGINT, group=group)) == 130
    output = (tmp_path / OUTPUT).read_text()
    line = f'interrupted: stopped after iteration 6 with the checkpoint {tmp_path}/preempted_iter_6.pth; --resume'
    assert output.splitlines()[-1].startswith(line)
    assert (tmp_path / 'preempted_iter_6_backbone.pth').is_file()
    assert 'Traceback' not in output
    assert not [*tmp_path.glob('.*.partial')]
    assert_no_shared_memory_is_left(before)


def test_workers_end_with_the_run(tmp_path, images):
    before = shared_memory()
    assert train(toy_config(images, tmp_path, **LOADER), prepare=write_workers) == 0
    workers = (tmp_path / 'workers.txt').read_text().split()
    assert len(workers) == 2
    assert not [worker for worker in workers if Path('/proc', worker).exists()]
    assert_no_shared_memory_is_left(before)


def limit_file_size(runner: Runner) -> None:
    """Let the kernel refuse writes beyond 200 kB; a toy checkpoint has 235, everything else less."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))


def test_failed_write_leaves_the_last_good_checkpoint(tmp_path, images):
    keep_one = dict(default_hooks__checkpoint__max_keep_ckpts=1)
    assert train(toy_config(images, tmp_path, **keep_one), Fault(9)) == -signal.SIGKILL
    (tmp_path / '.iter_7.pth.00112233445566ff.partial').write_bytes(b'what a kill long ago left')
    assert train(toy_config(images, tmp_path, **keep_one), prepare=limit_file_size) == 2
    output = (tmp_path / OUTPUT).read_text()
    message = f'cannot write {tmp_path / "iter_12.pth"} (File too large); earlier checkpoints are untouched'
    assert message in output.splitlines()[-1]
    assert 'Traceback' not in output
    names = [path.name for path in tmp_path.iterdir() if '.pth' in path.name]
    assert sorted(names) == ['iter_8.pth', 'iter_8_backbone.pth']
    assert read_checkpoint(tmp_path / 'iter_8.pth')['meta']['iter'] == 8
    assert train(toy_config(images, tmp_path, **keep_one)) == 0
    assert sorted(path.name for path in tmp_path.glob('iter*[0-9].pth')) == ['iter_18.pth']
