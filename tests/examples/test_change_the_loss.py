"""The example of 'Change the method': its loss by hand, and its config through the program."""

from __future__ import annotations

import math

import pytest
import torch

from tests.test_without_openmmlab import ROOT

FOLDER = ROOT / 'examples' / 'change_the_loss'


def test_certain_queries_count(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from certain_flsl import CertainFLSL

    logits = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    targets = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]])  # the first is certain of nothing
    of_second = math.log(1 + math.exp(3.0))
    assert float(CertainFLSL.inter_loss(None, logits, targets)) == pytest.approx(of_second, rel=1e-6)
