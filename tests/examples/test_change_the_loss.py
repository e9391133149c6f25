"""The example of 'Change the method': its config through the program, and its loss by hand."""

import json
import math
import sys

import pytest
import torch

from flsl_mm.commands import train
from tests.builders.toy_run import write_images
from tests.test_without_openmmlab import ROOT

FOLDER = ROOT / 'examples' / 'change_the_loss'


@pytest.fixture
def example(monkeypatch):
    """Run on the module beside the config, and leave the path of modules as it was."""
    monkeypatch.setattr(sys, 'path', list(sys.path))


def test_its_config_trains(example, tmp_path):
    images = write_images(tmp_path / 'images', 8)
    options = [
        f'train_dataloader.dataset.data_root={images}',
        'train_dataloader.batch_size=4',
        'train_cfg.max_epochs=1',
    ]
    options += ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    config = str(FOLDER / 'config.py')
    assert train.main([config, '--work-dir', str(tmp_path / 'work'), '--cfg-options', *options]) == 0
    assert len(json.loads((tmp_path / 'work/verdict.json').read_text())['measurements']) == 2
    assert sys.modules['certain_flsl'].__file__ == str(FOLDER / 'certain_flsl.py')


def test_certain_queries_count(example):
    sys.path.append(str(FOLDER))
    from certain_flsl import CertainFLSL

    logits = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    targets = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]])  # the first is certain of nothing
    of_second = math.log(1 + math.exp(3.0))
    assert float(CertainFLSL.inter_loss(None, logits, targets)) == pytest.approx(of_second, rel=1e-6)
