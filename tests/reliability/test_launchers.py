"""tools/dist_train.sh on a machine without an accelerator: one node, two nodes, and a rank that dies."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from flsl_mm.checkpoint import read_checkpoint
from tests.builders.toy_run import toy_config, write_images

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash'),
    pytest.mark.skipif(torch.cuda.is_available(), reason='speaks of machines without an accelerator'),
]


def start(*command: str, **variables: str) -> subprocess.Popen:
    """Start a program with additional environment variables."""
    environment = dict(os.environ, PYTHON=sys.executable, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', **variables)
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def launch(config: Path, processes: int, **variables: str) -> subprocess.Popen:
    """Start tools/dist_train.sh as a user does."""
    return start('bash', 'tools/dist_train.sh', str(config), str(processes), **variables)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def write_config(folder: Path, **options) -> Path:
    """Write the toy config to a file."""
    cfg = toy_config(write_images(folder / 'images'), folder / 'work', train_dataloader__batch_size=2, **options)
    cfg.dump(folder / 'toy.py')
    return folder / 'toy.py'


def test_one_node(tmp_path):
    job = launch(write_config(tmp_path, train_cfg__max_epochs=1), 2, PORT=free_port())
    output, _ = job.communicate(timeout=180)
    assert job.returncode == 0, output
    assert 'effective batch 4 (2 x 2 processes)' in output
    assert read_checkpoint(tmp_path / 'work' / 'iter_6.pth')['meta']['iter'] == 6


def test_two_nodes_and_a_rank_that_dies(tmp_path):
    config = write_config(tmp_path)
    mark = tmp_path / 'killed'
    with config.open('a') as file:
        file.write(
            "custom_imports['imports'].append('tests.builders.kill_hook')\n"
            f"default_hooks['kill'] = dict(type='KillRankHook', rank=1, iteration=9, mark={str(mark)!r})\n"
        )
    port = free_port()
    nodes = [launch(config, 1, NNODES='2', NODE_RANK=str(i), MASTER_ADDR='127.0.0.1', PORT=port) for i in range(2)]
    while not mark.exists():
        assert all(node.poll() is None for node in nodes), [node.communicate()[0] for node in nodes]
        time.sleep(0.1)
    killed = time.monotonic()
    outputs = [node.communicate(timeout=60)[0] for node in nodes]
    assert time.monotonic() - killed < 60
    assert all(node.returncode not in (0, None) for node in nodes)
    assert 'error in rank 0 of 2' in outputs[0]
    assert 'another process of this job has ended' in outputs[0]
    # The launcher's report names the process that died.
    assert re.search(r'rank\s*: 1 .*\n\s*exitcode\s*: -9', outputs[1]), outputs[1]

    port = free_port()
    nodes = [launch(config, 1, NNODES='2', NODE_RANK=str(i), MASTER_ADDR='127.0.0.1', PORT=port) for i in range(2)]
    outputs = [node.communicate(timeout=180)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert 'resumed epoch: 1, iter: 8' in outputs[0]
    assert read_checkpoint(tmp_path / 'work' / 'iter_18.pth')['meta']['iter'] == 18


def test_tasks_that_slurm_starts(tmp_path):
    config = write_config(tmp_path, train_cfg__max_epochs=1)
    # What srun tells the tasks of two nodes; the address would come from Slurm's scontrol.
    job = dict(SLURM_NTASKS='2', SLURM_NODELIST='a,b', SLURM_LOCALID='0', MASTER_ADDR='127.0.0.1')
    job['MASTER_PORT'] = free_port()
    command = (sys.executable, 'tools/train.py', str(config), '--launcher', 'slurm', '--work-dir', f'{tmp_path}/work')
    tasks = [start(*command, SLURM_PROCID=str(task), **job) for task in range(2)]
    outputs = [task.communicate(timeout=180)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], outputs
    assert 'effective batch 4 (2 x 2 processes)' in outputs[0]
