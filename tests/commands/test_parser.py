"""Mistakes in the options of a command."""

import pytest

from flsl_mm.commands.embed import parse_args


def test_a_mistake_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(['a.pth', 'images', '--out', 'a.npz', '--k', '0\x1b[2J\n'])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"error: argument --k: '0\x1b[2J\n' is not an integer above 0 (")
    assert line.endswith(' --help lists the options)')
