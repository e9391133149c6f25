"""What docs/using.md shows: every command is one that its program takes, and the files are read as it says."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch

from flsl_mm.embedding import embed
from tests.checkpoint.cases import file_of, tiny
from tests.pictures import picture

DOCS = (Path(__file__).parents[2] / 'docs' / 'using.md').read_text(encoding='utf-8')
COMMANDS = re.findall(r'python (tools/\w+\.py [^`#\n]*)', DOCS)


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_parse(command):
    program, *arguments = shlex.split(command)
    importlib.import_module(program.removesuffix('.py').replace('/', '.')).parse_args(arguments)


def test_there_are_commands_of_every_program():
    assert {command.split()[0].split('/')[1] for command in COMMANDS} == {
        'embed.py',
        'export.py',
        'test.py',
        'plot_run.py',
        'train.py',
    }


def test_embeddings_are_read_as_shown(tmp_path, monkeypatch):
    import flsl_mm

    monkeypatch.chdir(tmp_path)
    torch.save(file_of(tiny(3)), 'model.pth')
    Path('pictures').mkdir()
    picture(48, 40).save('pictures/a.png')
    model = flsl_mm.load_model('model.pth')
    embed(model, Path('pictures'), Path('pictures.npz'), patches=True)
    (snippet,) = re.findall(r'```python\n(import numpy.*?)```', DOCS, re.DOTALL)
    scope = {}
    exec(snippet, scope)
    expected = model.features('pictures/a.png')[0]
    torch.testing.assert_close(torch.from_numpy(scope['first'].astype('f4')), expected, rtol=1e-3, atol=1e-3)
