"""The only door to the terminal: nothing that comes from a file steers it, and no other door is used."""

import ast
import logging
import os
import select
import sys
import warnings
from pathlib import Path

import pytest

from flsl_mm.commands import command_line
from flsl_mm.commands.parser import Parser
from flsl_mm.utils import console, terminal
from flsl_mm.utils.terminal import say

PACKAGE = Path(__file__).parents[2] / 'flsl_mm'
EVIL = 'a\x1b[2K\rerror: all is well\nb\u202e'
SHOWN = 'a\\x1b[2K\\rerror: all is well\\nb\\u202e'

DOORS = {'utils/terminal.py', 'utils/console.py'}
"""Files that write to the terminal, and make it printable."""


def test_lines_are_shown_not_obeyed(capsys):
    say('one', EVIL)
    say(EVIL, error=True)
    told = capsys.readouterr()
    assert told.out == f'one\n{SHOWN}\n'
    assert told.err == f'{SHOWN}\n'


def test_an_error_is_one_line(capsys):
    def program(args):
        raise ValueError(f'{EVIL}\x1b[8m')

    args = Parser('text').parse_args([])
    args.traceback = False
    assert command_line.run(program, args, mmengine=False) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f'error: {SHOWN}\\x1b[8m'


def test_an_option_with_the_name_of_a_file(capsys):
    with pytest.raises(SystemExit) as stop:
        Parser('text').parse_args([EVIL])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: unrecognized arguments: {SHOWN} (')


def test_log_lines_and_warnings(capsys):
    logger = logging.getLogger('flsl_mm.test_terminal')
    logger.handlers, logger.propagate = [console.ConsoleHandler(sys.stdout)], False
    logger.warning('two lines\n%s', '\x1b[2Ka\r')
    assert capsys.readouterr().out.endswith(' warning: two lines\n\\x1b[2Ka\\r\n')
    shown = []

    def program(args):
        shown.append(warnings.formatwarning(EVIL, UserWarning, 'file.py', 1))

    args = Parser('text').parse_args([])
    for mmengine in (False, True):
        assert command_line.run(program, args, mmengine=mmengine) == 0
    assert shown == [f'warning: {SHOWN}\n'] * 2


def test_bars(monkeypatch):
    ours, theirs = os.openpty()
    with os.fdopen(theirs, 'w') as stream:
        monkeypatch.setattr(sys, 'stderr', stream)
        assert list(terminal.progress([1, 2], EVIL, 'image')) == [1, 2]
        shown = ''
        while '2/2' not in shown and select.select([ours], [], [], 5)[0]:  # it comes in pieces
            shown += os.read(ours, 10_000).decode()
    os.close(ours)
    assert f'{SHOWN}: 100%' in shown
    assert '2/2' in shown


class Clock:
    """Stands for the time, which goes on as told."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(terminal.time, 'monotonic', lambda: self.now)

    def passing(self, items, seconds):
        for item in items:
            self.now += seconds
            yield item


@pytest.mark.parametrize(
    ('count', 'seconds', 'told'),
    [
        (20, 1, [f'{done}/20 images, 0:00:{20 - done:02d} left' for done in (5, 10, 15, 20)]),
        (100, 7, [f'{done}/100 images, {left} left' for done, left in ((5, '0:11:05'), (10, '0:10:30'))]),
        (1000, 0.004, []),
    ],
    ids=['by tenths', 'every half minute', 'not of quick work'],
)
def test_lines_without_a_terminal(count, seconds, told, monkeypatch, capsys):
    clock = Clock(monkeypatch)
    done = list(terminal.progress(clock.passing(range(count), seconds), EVIL, 'image', count))
    assert done == list(range(count))
    lines = capsys.readouterr().err.splitlines()
    assert lines[: len(told) if told else None] == [f'{SHOWN}: {line}' for line in told]


def test_one_of_several_processes_shows(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    for rank, count in (('0', 1), ('1', 0)):
        monkeypatch.setenv('RANK', rank)
        assert len(list(terminal.progress(clock.passing(range(2), 40), 'images', 'image', 2))) == 2
        assert len(capsys.readouterr().err.splitlines()) == 2 * count


def doors(path: Path) -> list[str]:
    """List what a file writes to the terminal by other ways than ours."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        to_stream = name.startswith(('sys.stdout.write', 'sys.stderr.write'))
        own_bar = name.endswith('tqdm')
        own_parser = name.endswith('ArgumentParser')
        if name in ('print', 'traceback.print_exc', 'input') or to_stream or own_bar or own_parser:
            found.append(f'{path.relative_to(PACKAGE)}:{node.lineno} {name}')
    return found


def test_no_other_door_is_used():
    files = [path for path in PACKAGE.rglob('*.py') if str(path.relative_to(PACKAGE)) not in DOORS]
    assert len(files) > 150
    assert [door for path in files for door in doors(path)] == []
    assert len(doors(PACKAGE / 'utils/terminal.py')) == 2  # the test finds them
