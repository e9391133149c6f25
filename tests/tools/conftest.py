"""What tests of programs that read a model share."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from tests.checkpoint.cases import file_of, tiny


@pytest.fixture
def fresh_logger(monkeypatch):
    """MMEngine's logger writes to the output of the test that used it first."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())


@pytest.fixture
def file(tmp_path) -> Path:
    """Write a backbone file of a tiny ViT."""
    torch.save(file_of(tiny(3)), tmp_path / 'ours.pth')
    return tmp_path / 'ours.pth'
