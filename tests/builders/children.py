"""Toy runs in child processes that can be killed, forked from a server that has everything imported already."""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import mmengine.runner.runner
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flsl_mm.commands import command_line
from flsl_mm.utils import fileio
from tests.builders import toy_run  # noqa: F401  imported here so that the server has it

CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload([__name__])
OUTPUT = 'output.txt'
"""What a child wrote to stdout and stderr, in its work folder."""


@dataclass(frozen=True)
class Fault:
    """What a child does to itself.

    Args:
        iteration: During which iteration, counted from 0.
        place: ``'batch'``: when its batch is there; ``'forward'``: in the student's head; ``'teacher'``: after the
            optimizer's step, before the teacher's update; ``'write'``: when half of the next checkpoint is written;
            ``'rename'``: when all of it is, under its temporary name; ``'pointer'``: when it has its name and
            ``last_checkpoint`` still names the one before; ``'export'``: when half of its backbone file is written.
        signum: The signal.
        group: Whether all processes of the child get it, loader workers too.
    """

    iteration: int
    place: str = 'batch'
    signum: int = signal.SIGKILL
    group: bool = False

    def strike(self) -> None:
        """Send the signal, to a group from a process outside of it."""
        if self.group:
            command = ['kill', f'-{self.signum}', '--', f'-{os.getpgrp()}']
            subprocess.run(command, start_new_session=True, check=True)
        else:
            os.kill(os.getpid(), self.signum)


class FaultHook(Hook):
    """Prepares a fault when its iteration begins."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if runner.iter != self.fault.iteration:
            return
        strike = self.fault.strike
        if self.fault.place == 'batch':
            strike()
        elif self.fault.place == 'forward':
            runner.model.head.register_forward_pre_hook(lambda module, args: strike())
        elif self.fault.place == 'teacher':
            runner.model.teacher.update = lambda *args, **kwargs: strike()
        elif self.fault.place in ('write', 'export'):
            fileio.os = self.dying_os(backbone=self.fault.place == 'export')
        elif self.fault.place == 'rename':
            fileio.os = OSWith(replace=lambda source, target: strike())
        elif self.fault.place == 'pointer':
            fileio.flush_folder = lambda folder: strike()

    def dying_os(self, backbone: bool) -> OSWith:
        """Make an ``os`` that strikes when half of a checkpoint, or of a backbone file, is on the disk."""

        def fsync(file: int) -> None:
            if ('_backbone' in Path(os.readlink(f'/proc/self/fd/{file}')).name) == backbone:
                os.ftruncate(file, os.fstat(file).st_size // 2)
                self.fault.strike()
            os.fsync(file)

        return OSWith(fsync=fsync)


class OSWith:
    """The module ``os`` with some functions replaced."""

    def __init__(self, **functions: Callable) -> None:
        vars(self).update(functions)

    def __getattr__(self, name: str):
        return getattr(os, name)


def open_files() -> set[str]:
    """List what this process's file handles refer to: paths, pipes and sockets (Linux)."""
    handles = list(Path('/proc/self/fd').glob('*'))
    return {os.readlink(handle) for handle in handles if handle.is_symlink()}


def child_main(
    cfg: Config, fault: Fault | None, prepare: Callable[[Runner], None] | None, environment: dict[str, str]
) -> None:
    """Train as tools/train.py does, with output to a file, in a process group of its own."""
    os.setsid()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have put the tests into the background
    torch.set_num_threads(1)
    mmengine.runner.runner.collect_env = dict  # it asks compilers for their versions, which takes a second
    os.makedirs(cfg.work_dir, exist_ok=True)
    output = os.open(Path(cfg.work_dir) / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)

    def program(args: argparse.Namespace) -> None:
        runner = command_line.build_runner(cfg)
        if fault is not None:
            runner.register_hook(FaultHook(fault), priority='LOWEST')
        if prepare is not None:
            prepare(runner)
        runner.train()

    before = open_files()
    code = command_line.run(program, argparse.Namespace(traceback=False, launcher=cfg.get('launcher', 'none')))
    # What leads to loader workers and their batches, and to other processes of a job, ends with the interpreter.
    expected = ('pipe:', 'socket:', '/dev/shm/torch_')
    left = {name for name in open_files() - before if not name.startswith(expected)}
    assert all(name.endswith(('.log', '/vis_data')) for name in left), left
    # The interpreter aborts now and then if threads of gloo outlive it.
    left = [task.read_text().strip() for task in Path('/proc/self/task').glob('*/comm')]
    assert not any('gloo' in name for name in left), left
    sys.exit(code)


def start(
    cfg: Config,
    fault: Fault | None = None,
    prepare: Callable[[Runner], None] | None = None,
    environment: dict[str, str] | None = None,
) -> BaseProcess:
    """Start a run; ``prepare`` gets its Runner before training."""
    process = CONTEXT.Process(target=child_main, args=(cfg, fault, prepare, environment or {}))
    process.start()
    return process


def train_on_two(cfg: Config, faults: dict[int, Fault] | None = None) -> list[int]:
    """Run two processes of one job, as a launcher does; ``faults`` by rank. Returns their exit codes."""
    cfg = copy.deepcopy(cfg)
    cfg.launcher = 'pytorch'
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1')
        environment['MASTER_PORT'] = str(port)
        processes.append(start(cfg, (faults or {}).get(rank), environment=environment))
    return [finish(process) for process in processes]


def finish(process: BaseProcess, timeout: float = 60) -> int:
    """Wait for a run; returns its exit code, negative for a signal, after the last process of its group is gone."""
    process.join(timeout)
    code = process.exitcode
    deadline = time.monotonic() + (0 if code in (None, -signal.SIGKILL) else 10)
    while group_exists(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = group_exists(process.pid)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
    assert code is not None, 'the run hangs'
    # After a SIGKILL, loader workers notice within 5 seconds that they are orphans; no need to wait for that.
    assert not left or code == -signal.SIGKILL, 'the run left processes behind'
    return code


def group_exists(group: int) -> bool:
    """Return whether a process group has processes."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def train(cfg: Config, fault: Fault | None = None, prepare: Callable[[Runner], None] | None = None) -> int:
    """Start a run and wait for it; returns its exit code."""
    return finish(start(cfg, fault, prepare))


def with_hook(hook: Hook) -> Callable[[Runner], None]:
    """Make a ``prepare`` of :func:`start` that registers a hook."""
    return partial(Runner.register_hook, hook=hook)


def logged(work_dir: Path) -> dict[int, list[dict]]:
    """Read the JSON logs of all runs in a folder: iteration -> what each run logged, without times."""
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            if line.endswith('}'):  # a kill may leave half a line
                entry = json.loads(line)
                values = {key: value for key, value in entry.items() if key not in ('time', 'data_time', 'memory')}
                found.setdefault(entry['iter'], []).append(values)
    return found
