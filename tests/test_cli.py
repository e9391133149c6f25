"""What the command-line programs say when something goes wrong."""

from __future__ import annotations

import argparse
import errno
import os

import pytest

from flsl_mm import cli
from tests.toy_run import toy_config, write_pictures

DISK_FULL = 'the disk is full at /out/log: make room, then start again (a training run with --resume)'


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/out/log'), DISK_FULL),
        (OSError('cannot write x'), 'cannot write x'),
        (ValueError('class X in x.py: wrong\nboth: no such thing'), 'both: no such thing'),
        (KeyError('no such hook'), 'no such hook'),
        (RuntimeError('Connection closed by peer [127.0.0.1]:1'), 'another process of this job has ended: see its own'),
        (ZeroDivisionError('division by zero'), 'division by zero (ZeroDivisionError; --traceback shows where)'),
    ],
)
def test_error_in_one_line(error, line, capsys):
    def program(args):
        raise error

    assert cli.run(program, argparse.Namespace(traceback=False)) == 2
    message = capsys.readouterr().err
    assert message.startswith(f'error: {line}')
    assert message.count('\n') == 1


@pytest.mark.parametrize(('stop', 'code'), [(KeyboardInterrupt(), 130), (SystemExit(75), 75)])
def test_exit_codes(stop, code):
    def program(args):
        raise stop

    assert cli.run(program, argparse.Namespace(traceback=False)) == code


def test_a_hook_is_changed_or_switched_off_by_its_name(tmp_path):
    options = dict(
        default_hooks__report=None, default_hooks__checkpoint=None, default_hooks__freeze_last_layer__epochs=2
    )
    runner = cli.build_runner(toy_config(write_pictures(tmp_path / 'pictures'), tmp_path, **options))
    hooks = {type(hook).__name__: hook for hook in runner.hooks}
    assert not {'FLSLReportHook', 'FLSLCheckpointHook', 'CheckpointHook'} & set(hooks)
    assert {'FLSLScheduleHook', 'FLSLBackboneExportHook', 'RuntimeInfoHook'} <= set(hooks)
    assert hooks['FLSLFreezeLastLayerHook'].epochs == 2
