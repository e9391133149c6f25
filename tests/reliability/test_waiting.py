"""A run whose images never come ends on the second SIGTERM, with nothing lost."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from mmengine.runner import Runner

from flsl_mm.datasets import images
from tests.builders.children import OUTPUT, finish, start, train
from tests.builders.toy_run import ITERATIONS, toy_config, write_images

pytestmark = pytest.mark.slow


def hang_in_second_epoch(flag: Path, runner: Runner) -> None:
    """Have the data set wait for ever where the second epoch's images are read, whose virtual indices follow."""
    original = images.FLSLImages.__getitem__

    def getitem(self, index: int) -> dict:
        if index >= len(self):
            flag.touch()
            time.sleep(1000)
        return original(self, index)

    images.FLSLImages.__getitem__ = getitem


@pytest.mark.parametrize('workers', [0, 2])
def test_second_sigterm(workers, tmp_path):
    folder, work_dir, flag = write_images(tmp_path / 'images'), tmp_path / 'work', tmp_path / 'hangs'
    cfg = toy_config(folder, work_dir, train_dataloader__num_workers=workers)
    process = start(cfg, prepare=partial(hang_in_second_epoch, flag))
    deadline = time.monotonic() + 300
    while not flag.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert flag.exists()
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    assert process.is_alive(), 'the first one waits for the iteration'
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == 75
    last = (work_dir / OUTPUT).read_text().splitlines()[-1]
    assert f'stopped after iteration 6 with the checkpoint {work_dir / "preempted_iter_6.pth"}; --resume' in last
    assert sorted(path.name for path in work_dir.glob('*[0-9].pth')) == ['iter_4.pth', 'preempted_iter_6.pth']
    assert train(cfg) == 0
    assert sorted(path.name for path in work_dir.glob('*[0-9].pth')) == ['iter_16.pth', f'iter_{ITERATIONS}.pth']
