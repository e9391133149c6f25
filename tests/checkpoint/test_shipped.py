"""Models by name: they come with a checkout and with a wheel, and a file of one's own goes first."""

import ast
from pathlib import Path

import pytest
import torch

import flsl_mm
from flsl_mm.checkpoint import local_file, shipped
from tests.builders.checkpoints import file_of, tiny

ROOT = Path(__file__).parents[2]


def test_by_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = flsl_mm.load_model('first_look', logger='silent')
    assert (model.name, model.embed_dim, model.patch_size) == ('first_look', 192, 8)
    torch.save(file_of(tiny(3)), 'first_look')
    assert flsl_mm.load_model('first_look', logger='silent').embed_dim == 16


def test_the_names_are_told():
    with pytest.raises(FileNotFoundError, match=r"no model 'first_lok': models that come with flsl_mm are first_look$"):
        local_file('first_lok')
    with pytest.raises(FileNotFoundError, match=r'first_lok\.pth does not exist'):
        local_file('first_lok.pth')


def test_in_a_wheel(monkeypatch, tmp_path):
    """What setup.py copies is what is looked for, and small."""
    (copied,) = [
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / 'setup.py').read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'SHIPPED'
    ]
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path / 'flsl_mm')
    (tmp_path / 'flsl_mm/.mim').mkdir(parents=True)
    for name, file in shipped.SHIPPED.items():
        assert file in copied
        assert (ROOT / file).stat().st_size < 10e6
        assert shipped.shipped_model(name) == tmp_path / 'flsl_mm/.mim' / file
