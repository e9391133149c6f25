"""The console shows what is not MMEngine's talk of itself; the log file has everything."""

import io
import logging
import os
import sys

import pytest

from flsl_mm.utils import console

DUMPS = [
    '\n------------------------------------------------------------\nSystem environment:\n    sys.platform: linux',
    'Config:\nmodel = dict()',
    'Hooks will be executed in the following order:\nbefore_run:',
]


@pytest.fixture
def logger(tmp_path):
    made = logging.Logger('test')
    made.addHandler(logging.StreamHandler(io.StringIO()))
    made.addHandler(logging.FileHandler(tmp_path / 'log'))
    console.use_short_lines(made)
    return made


def test_dumps_go_to_the_file_only(logger, tmp_path):
    for text in [*DUMPS, 'a message about Config: of mine']:
        logger.info(text)
    shown = logger.handlers[0].stream.getvalue()
    assert shown.endswith(' a message about Config: of mine\n')
    assert shown.count('\n') == 1
    assert (tmp_path / 'log').read_text() == '\n'.join([*DUMPS, 'a message about Config: of mine', ''])


def test_warnings_are_called_so(logger):
    logger.warning('100% wrong')
    logger.error('worse')
    lines = logger.handlers[0].stream.getvalue().splitlines()
    assert [line.partition(' ')[2] for line in lines] == ['warning: 100% wrong', 'error: worse']


def test_level_and_filters_stay(tmp_path):
    logger = logging.Logger('test')
    handler = logging.StreamHandler(io.StringIO())
    handler.setLevel('ERROR')
    handler.addFilter(lambda record: 'not this' not in record.getMessage())
    logger.addHandler(handler)
    console.use_short_lines(logger)
    logger.warning('too low')
    logger.error('not this')
    logger.error('this')
    assert handler.stream.getvalue().split(' ', 1)[1] == 'error: this\n'


def test_hidden_lines_are_in_the_file(logger, tmp_path):
    with console.hidden(True):
        logger.info('shown by the bar')
        logger.warning('not finite')
    logger.info('after')
    shown = logger.handlers[0].stream.getvalue().splitlines()
    assert [line.partition(' ')[2] for line in shown] == ['warning: not finite', 'after']
    assert (tmp_path / 'log').read_text() == 'shown by the bar\nnot finite\nafter\n'


def test_a_bar_in_a_terminal_that_tells_no_size(monkeypatch):
    """As those of containers, where tqdm alone shows nothing."""
    ours, theirs = os.openpty()
    assert os.get_terminal_size(theirs) == (0, 0)
    with os.fdopen(theirs, 'w') as terminal:
        monkeypatch.setattr(sys, 'stdout', terminal)
        assert console.is_terminal()
        console.open_bar(4, 1, 'training')
        console.close_bars()
        shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert 'training:  25%' in shown
    assert '1/4' in shown


def test_another_formatter_gets_printable_messages():
    logger = logging.Logger('test')
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter('\x1b[36m%(levelname)s\x1b[0m %(message)s'))
    logger.addHandler(handler)
    console.show_printable(logger)
    try:
        raise ValueError('\x1b[2J')
    except ValueError:
        logger.exception('%s\nsecond line', '\x1b]0;title\x07')
    shown = handler.stream.getvalue()
    assert shown.startswith('\x1b[36mERROR\x1b[0m \\x1b]0;title\\x07\nsecond line\n')
    assert 'ValueError: \\x1b[2J' in shown


def test_a_console_that_is_full_is_told_once_and_the_file_goes_on(tmp_path, capsys):
    logger = logging.Logger('test')
    logger.addHandler(logging.StreamHandler(os.fdopen(os.open('/dev/full', os.O_WRONLY), 'w')))
    logger.addHandler(logging.FileHandler(tmp_path / 'log'))
    console.use_short_lines(logger)
    logger.info('one')
    logger.info('two')
    assert capsys.readouterr().err == 'warning: the console is not written any more (No space left on device)\n'
    assert (tmp_path / 'log').read_text() == 'one\ntwo\n'
