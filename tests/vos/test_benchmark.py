"""The benchmark program of label propagation."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / 'tools' / 'benchmarks' / 'vos.py'
TINY = ['--arch', 'tiny', '--height', '64', '--width', '96', '--frames', '2', '--objects', '2']


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, 'argv', [str(PROGRAM), *arguments])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(PROGRAM), run_name='__main__')
    return left.value.code


def test_numbers(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, *TINY, '--out', str(tmp_path / 'vos.json')) == 0
    numbers = json.loads((tmp_path / 'vos.json').read_text())
    assert numbers['ratio'] == pytest.approx(numbers['whole_seconds'] / numbers['backbone_seconds'], rel=0.1)
    assert len(numbers['frames']['whole_seconds']) == len(numbers['frames']['backbone_seconds']) == 2
    assert 0.1 < numbers['peak_rss_gb'] < 16
    printed = capsys.readouterr().out
    assert f'ratio              {numbers["ratio"]:.2f}' in printed
    assert f'{numbers["peak_rss_gb"]:.2f} GB of the whole process' in printed


@pytest.mark.parametrize(
    ('arguments', 'line'), [(['--width', '90'], 'multiple of --patch-size'), (['--frames', '0'], 'at least 1')]
)
def test_bad_arguments(monkeypatch, capsys, arguments, line):
    assert run(monkeypatch, *TINY, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert line in error
    assert error.startswith('error: ')
    assert '\n' not in error


def test_help(monkeypatch, capsys):
    assert run(monkeypatch, '--help') == 0
    assert 'bare backbone' in capsys.readouterr().out
