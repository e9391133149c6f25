"""What tests of programs that read a model share."""

from pathlib import Path

import pytest
import torch

from tests.builders.checkpoints import file_of, tiny


@pytest.fixture
def file(tmp_path) -> Path:
    """Write a backbone file of a tiny ViT."""
    torch.save(file_of(tiny(3)), tmp_path / 'ours.pth')
    return tmp_path / 'ours.pth'
