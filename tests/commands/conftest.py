"""What tests of programs that read a model share."""

import os
from pathlib import Path

import pytest
import torch

from tests.builders.checkpoints import file_of, tiny
from tests.builders.images import make_image


@pytest.fixture
def file(tmp_path) -> Path:
    """Write a backbone file of a tiny ViT."""
    torch.save(file_of(tiny(3)), tmp_path / 'ours.pth')
    return tmp_path / 'ours.pth'


@pytest.fixture
def here(file, tmp_path, monkeypatch) -> Path:
    """Be in a folder with the backbone `ours.pth`, images in `in`, a torn image among them, and an empty folder."""
    for folder in ('in/deep', 'empty'):
        os.makedirs(tmp_path / folder)
    for name in ('b.png', 'a.png', 'deep/c.png'):
        make_image(40, 32).save(tmp_path / 'in' / name)
    (tmp_path / 'in/bad.jpg').write_bytes(b'no image')
    (tmp_path / 'in/notes.txt').write_text('no image')
    monkeypatch.chdir(tmp_path)
    return tmp_path
