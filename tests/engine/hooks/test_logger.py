"""What a run shows on the console: little at its start, then lines, or in a terminal a bar."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Thread

import pytest
from mmengine.hooks import Hook

from flsl_mm import cli
from tests.toy_run import toy_config, toy_runner, write_images

QUIET = dict(default_hooks__logger__type='FLSLLoggerHook', log_processor__type='FLSLLogProcessor')
DUMPS = ('System environment:', 'Config:', 'Hooks will be executed in the following order')


class Remark(Hook):
    """A hook of somebody else's."""

    def before_train(self, runner):
        runner.logger.info('a remark of mine')


def test_a_quiet_start_and_everything_in_the_log_file(tmp_path, capsys):
    options = QUIET | dict(train_cfg__max_epochs=1, resume=False)
    runner = cli.build_runner(toy_config(write_images(tmp_path / 'images'), tmp_path / 'work', **options))
    runner.register_hook(Remark())
    runner.train()
    lines = capsys.readouterr().out.splitlines()
    first = next(index for index, line in enumerate(lines) if 'epoch 1/1, step 1/6' in line)
    assert first <= 15
    start = '\n'.join(lines[:first])
    for part in (
        'training FLSL with FLSLViT',
        'million parameters, on the CPU',
        'effective batch 4',
        'a remark of mine',
    ):
        assert part in start
    assert f'writing to {tmp_path}/work | environment, config, hooks and all messages: ' in start
    log = Path(next(line for line in lines if 'all messages: ' in line).partition('all messages: ')[2])
    for part in DUMPS:
        assert part not in '\n'.join(lines)
        assert part in log.read_text()
    assert 'epoch 1/1, step 6/6' in log.read_text()


def test_with_mmengines_hook_a_run_logs_as_mmengine_does(tmp_path, capsys):
    cli.build_runner(toy_config(write_images(tmp_path / 'images'), tmp_path / 'work'))
    shown = capsys.readouterr().out
    assert all(part in shown for part in DUMPS)


def test_a_run_without_report_tells_data_and_length(tmp_path, capsys):
    runner = toy_runner(tmp_path, [], log_level='INFO', default_hooks=dict(logger=dict(type='FLSLLoggerHook')))
    runner.train()
    assert 'ToyImages: 8 images | batch 2 | 4 steps per epoch, 2 epochs, 8 steps\n' in capsys.readouterr().out


@pytest.fixture
def terminal():
    """A terminal to write to, the list of what it shows, and the thread that reads it until it is closed."""
    ours, theirs = os.openpty()
    shown = []

    def read():
        try:
            while part := os.read(ours, 10_000):
                shown.append(part.decode(errors='replace'))
        except OSError:  # how the end reads
            pass

    reader = Thread(target=read, daemon=True)
    reader.start()
    with os.fdopen(theirs, 'w') as stream:
        yield stream, shown, reader
    os.close(ours)


def test_a_bar_in_a_terminal(tmp_path, terminal, monkeypatch):
    stream, shown, reader = terminal
    monkeypatch.setattr(sys, 'stdout', stream)
    hooks = [dict(type='FLSLCollapseHook'), Remark()]
    logger = dict(type='FLSLLoggerHook', interval=1)
    runner = toy_runner(
        tmp_path,
        hooks,
        log_level='INFO',
        default_hooks=dict(logger=logger),
        log_processor=dict(type='FLSLLogProcessor'),
    )
    runner.train()
    stream.close()
    reader.join(10)
    text = ''.join(shown)
    bars = [part for part in text.split('\r') if part.startswith('training:')]
    assert bars[-1].startswith('training: 100%')
    for part in ('8/8', 'images/s', 'loss ', 'too early to tell'):
        assert part in text
    assert 'a remark of mine' in text
    assert 'epoch 1/2' not in text
    assert 'epoch 2/2, step 4/4' in next(tmp_path.glob('*/*.log')).read_text()
