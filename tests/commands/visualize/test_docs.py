"""What docs/visualization.md shows: its commands are understood, its Python runs, its table is complete."""

import re
from pathlib import Path

import pytest

from flsl_mm.commands import visualize
from flsl_mm.commands.visualize.view import LEGEND, TITLES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / 'docs/visualization.md').read_text(encoding='utf-8')
COMMANDS = re.findall(r'^\s*flsl-mm visualize (.*?)(?:\s+#.*)?$', TEXT + visualize.EPILOG, re.MULTILINE)


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_are_understood(command):
    args = visualize.parse_args(command.split())
    assert args.out == Path('page')
    assert len(COMMANDS) > 8


def test_the_python_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (python,) = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
    names = {}
    exec(python, names)
    h, w, _ = names['features'].shape
    assert names['clusters'].shape == names['similar'].shape == (h, w)
    assert names['colors'].shape == (h, w, 3)


def test_every_kind_is_explained():
    assert tuple(LEGEND) == tuple(TITLES) == visualize.KINDS
    assert all(f'| `{kind}` |' in TEXT for kind in LEGEND)
