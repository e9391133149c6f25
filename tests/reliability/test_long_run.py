"""A run of many short epochs with workers, checkpoints and logs: memory, open files and threads stay (Linux)."""

import json
import os
import re
import statistics
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.builders.children import finish, start
from tests.builders.toy_run import EPOCH_LENGTH, toy_config, write_images

EPOCHS = 80
INTERVAL = 10
SAMPLES = 'samples.json'
MOST_GROWTH_MB = dict(main=4.0, first_worker=1.0, second_worker=1.0)
"""From the third quarter of the run to the last: 120 iterations, in which a worker makes 240 views of 7 kB each."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path('/proc/self/smaps_rollup').exists(), reason='reads /proc/<pid>/smaps_rollup'),
]


def look_at(pid: int) -> dict[str, float]:
    """Read a process's private memory in MB (pages that it shares with its parent do not count twice), and more."""
    rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
    private = sum(int(size) for size in re.findall(r'^Private_\w+:\s*(\d+) kB', rollup, re.MULTILINE))
    return dict(
        private_mb=private / 1024,
        files=len(os.listdir(f'/proc/{pid}/fd')),
        threads=len(os.listdir(f'/proc/{pid}/task')),
    )


class Watch(Hook):
    """Looks at the main process and at its children, and writes down what it saw at the end."""

    def before_run(self, runner: Runner) -> None:
        self.seen: list[list[dict]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.every_n_train_iters(runner, INTERVAL):
            tasks = Path('/proc/self/task').glob('*/children')
            children = sorted(int(pid) for task in tasks for pid in task.read_text().split())
            self.seen.append([look_at(pid) for pid in (os.getpid(), *children)])

    def after_run(self, runner: Runner) -> None:
        Path(runner.work_dir, SAMPLES).write_text(json.dumps(self.seen))


def watch(runner: Runner) -> None:
    runner.register_hook(Watch())


def test_nothing_grows(tmp_path):
    options = dict(
        train_cfg__max_epochs=EPOCHS,
        train_dataloader__num_workers=2,
        train_dataloader__persistent_workers=True,
        default_hooks__checkpoint__interval=50,
    )
    cfg = toy_config(write_images(tmp_path / 'images'), tmp_path / 'work', **options)
    assert finish(start(cfg, prepare=watch), timeout=300) == 0
    samples = json.loads((tmp_path / 'work' / SAMPLES).read_text())
    assert len(samples) == EPOCHS * EPOCH_LENGTH // INTERVAL
    assert {len(processes) for processes in samples} == {3}, 'main process and two workers'
    quarter = len(samples) // 4
    for (name, most), turns in zip(MOST_GROWTH_MB.items(), zip(*samples, strict=True), strict=True):
        early, late = turns[2 * quarter : 3 * quarter], turns[3 * quarter :]
        before, after = (statistics.median(turn['private_mb'] for turn in part) for part in (early, late))
        assert after - before < most, f'{name} grew from {before:.1f} to {after:.1f} MB'
        for what in ('files', 'threads'):
            # A sample may see a file that is just being written or passed on: half of them is no growth.
            before, after = (statistics.median(turn[what] for turn in part) for part in (early, late))
            assert after - before < 1, f'{name} has {after:g} {what} instead of {before:g}'
