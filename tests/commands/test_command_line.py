"""What the command-line programs say when something goes wrong."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import re
import signal
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from flsl_mm.commands import COMMANDS, command_line, train
from flsl_mm.commands import __main__ as program
from tests.builders.checkpoints import file_of, tiny
from tests.builders.toy_run import toy_config, write_images

DISK_FULL = 'the disk is full at /out/log: make room, then start again (a training run with --resume)'


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/out/log'), DISK_FULL),
        (OSError('cannot write x'), 'cannot write x'),
        (
            OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), b'/a'),
            '/a: file name too long; give a shorter name',
        ),
        (
            NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), '/a\n/b'),
            r'/a\n/b: not a directory; a part of the path is no folder: give another',
        ),
        (ValueError('class X in x.py: wrong\nboth: no such thing'), 'both: no such thing'),
        (KeyError('no such hook'), 'no such hook'),
        (KeyError('type'), "no entry 'type' where one is needed"),
        (KeyError("a {'b': 1}\nit's \"c\""), 'it\'s "c"\n'),
        (FileNotFoundError("no config file 'none.py'"), "no config file 'none.py'\n"),
        (ValueError('no file \x1b[31m\udcff.jpg'), 'no file \\x1b[31m\\udcff.jpg'),
        (
            RuntimeError('mat1 and mat2 shapes cannot be multiplied (196x384 and 192x2048)'),
            'a layer for inputs of width 192 gets width 384: make embed_dim and the in_channels',
        ),
        (RuntimeError('Connection closed by peer [127.0.0.1]:1'), 'another process of this job has ended: see its own'),
        (ZeroDivisionError('division by zero'), 'division by zero (ZeroDivisionError; --traceback shows where)'),
    ],
)
def test_error_in_one_line(error, line, capsys):
    def program(args):
        raise error

    assert command_line.run(program, argparse.Namespace(traceback=False)) == 2
    message = capsys.readouterr().err
    assert message.startswith(f'error: {line}')
    assert message.count('\n') == 1


@pytest.mark.parametrize(('stop', 'code'), [(KeyboardInterrupt(), 130), (SystemExit(75), 75)])
@pytest.mark.parametrize('mmengine', [True, False])
def test_exit_codes(stop, code, mmengine):
    def program(args):
        raise stop

    assert command_line.run(program, argparse.Namespace(traceback=False), mmengine=mmengine) == code


def test_a_program_without_mmengine_does_not_need_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'mmengine']:
        monkeypatch.setitem(sys.modules, name, None)
    seen = []
    assert command_line.run(seen.append, argparse.Namespace(traceback=False), mmengine=False) == 0
    assert len(seen) == 1


def test_a_hook_is_changed_or_switched_off_by_its_name(tmp_path):
    options = dict(
        default_hooks__collapse=None, default_hooks__checkpoint=None, default_hooks__freeze_last_layer__epochs=2
    )
    runner = command_line.build_runner(toy_config(write_images(tmp_path / 'images'), tmp_path, **options))
    hooks = {type(hook).__name__: hook for hook in runner.hooks}
    assert not {'FLSLCollapseHook', 'FLSLCheckpointHook', 'CheckpointHook'} & set(hooks)
    assert {'FLSLScheduleHook', 'FLSLLoggerHook', 'RuntimeInfoHook'} <= set(hooks)
    assert hooks['FLSLFreezeLastLayerHook'].epochs == 2


def failing_start(cfg):
    """Build a Runner of a config as the programs do, and have a check stop it."""

    class Check(Hook):
        def before_train(self, runner):
            raise ValueError('does not fit')

    runner = command_line.build_runner(cfg)
    runner.register_hook(Check())
    with pytest.raises(ValueError, match='does not fit'):
        runner.train()


def test_a_start_that_fails_keeps_the_config_of_the_run(tmp_path):
    """Which is needed to continue it."""
    config = tmp_path / 'toy.py'
    toy_config(write_images(tmp_path / 'images'), tmp_path / 'work').dump(config)
    command_line.build_runner(Config.fromfile(config)).train()
    before = (tmp_path / 'work' / 'toy.py').read_text()
    changed = Config.fromfile(config)
    changed.optim_wrapper.optimizer.lr = 1.0
    failing_start(changed)
    assert (tmp_path / 'work' / 'toy.py').read_text() == before
    assert Config.fromfile(tmp_path / 'work' / 'toy.py').optim_wrapper.optimizer.lr == 5e-3


@pytest.mark.parametrize('value', ['', 'none'])
def test_a_local_rank_that_is_no_number(value, tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', value)
    (tmp_path / 'a.py').touch()
    args = argparse.Namespace(
        config=str(tmp_path / 'a.py'), work_dir=None, cfg_options={}, launcher=None, local_rank=0, verbose=False
    )
    command_line.read_config(args)
    assert os.environ['LOCAL_RANK'] == '0'


def test_a_work_folder_whose_name_is_not_utf_8(tmp_path):
    (tmp_path / 'a.py').touch()
    folder = os.fsdecode(b'bad\xff')
    args = argparse.Namespace(
        config=str(tmp_path / 'a.py'), work_dir=folder, cfg_options={}, launcher=None, local_rank=0, verbose=False
    )
    with pytest.raises(
        ValueError, match=r'the name of the work folder bad.* is not UTF-8, as files in it need: rename it'
    ):
        command_line.read_config(args)


@pytest.mark.parametrize('name', ['/proc/x', 'a' * 300, __file__, f'{__file__}/x'])
def test_a_work_folder_that_cannot_be_made(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.py').write_text('optim_wrapper = dict()')
    assert train.main(['a.py', '--work-dir', name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r'error: the work folder .+ cannot be made \(.+\): give --work-dir another name', line)


@pytest.mark.parametrize('command', ['--version', '--help', *COMMANDS])
def test_an_output_that_cannot_be_written(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['flsl-mm'])
    arguments = [command] if command.startswith('--') else [command, '--help']
    # As with PYTHONUNBUFFERED, where writing fails rather than the flush after it.
    full = io.TextIOWrapper(io.FileIO('/dev/full', 'w'), write_through=True)
    for stream, code in ((full, 2), (closed_pipe(), 0)):
        with stream:
            monkeypatch.setattr(sys, 'stdout', stream)
            assert program.main(arguments) == code
        error = capsys.readouterr().err
        assert error == ('error: the output cannot be printed: No space left on device\n' if code else '')


@pytest.mark.parametrize(('closed', 'code'), [(True, 0), (False, 2)])
def test_a_result_that_cannot_be_told_is_written(closed, code, tmp_path, monkeypatch, capsys):
    torch.save(file_of(tiny(3)), tmp_path / 'a.pth')
    monkeypatch.setattr(sys, 'argv', ['flsl-mm'])
    with closed_pipe() if closed else os.fdopen(os.open('/dev/full', os.O_WRONLY), 'w') as stream:
        monkeypatch.setattr(sys, 'stdout', stream)
        assert program.main(['convert', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth'), '--to', 'timm']) == code
    assert capsys.readouterr().err == ('error: the output cannot be printed: No space left on device\n' if code else '')
    assert (tmp_path / 'b.pth').is_file()


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, 'w')


def test_no_figure_needs_the_backend_of_the_user(monkeypatch, capsys):
    monkeypatch.setenv('MPLBACKEND', 'nonsense')
    for name in [name for name in sys.modules if name.partition('.')[0] == 'matplotlib']:
        monkeypatch.delitem(sys.modules, name)
    command_line.run(lambda args: importlib.import_module('matplotlib'), argparse.Namespace(traceback=False))
    assert capsys.readouterr().err == ''


def test_a_worker_that_dies_while_an_error_is_reported(capsys):
    class Slow(ValueError):
        def __str__(self) -> str:
            os.kill(os.getpid(), signal.SIGCHLD)
            return 'wrong'

    def program(args):
        raise Slow

    def died(signum, frame):
        raise RuntimeError('DataLoader worker is killed')

    handler = signal.signal(signal.SIGCHLD, died)
    try:
        assert command_line.run(program, argparse.Namespace(traceback=False)) == 2
        assert signal.getsignal(signal.SIGCHLD) is died
    finally:
        signal.signal(signal.SIGCHLD, handler)
    assert capsys.readouterr().err == 'error: wrong\n'


def test_a_missing_package_of_a_config_is_named():
    """MMEngine's own message speaks of PYTHONPATH, whatever the reason."""
    try:
        try:
            raise ModuleNotFoundError("No module named 'mmseg.models'", name='mmseg.models')
        except ImportError as error:
            raise ImportError('You should set `PYTHONPATH` to make ...') from error
    except ImportError as error:
        line = command_line.explain(error)
    assert line.startswith('the package mmseg is not installed, and the config needs it: see `flsl-mm doctor`')
    assert line.endswith('or install the extra seg')
