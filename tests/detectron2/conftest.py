"""Weights for the tests of flsl_mm.detectron2."""

import pytest
import torch

from flsl_mm.models import FLSLViT
from tests.builders.checkpoints import file_of


@pytest.fixture(scope='session')
def vit() -> FLSLViT:
    torch.manual_seed(1)
    return FLSLViT(dict(embed_dim=16, depth=4, num_heads=2), patch_size=16, img_size=64)


@pytest.fixture(scope='session')
def weights(tmp_path_factory, vit) -> str:
    path = tmp_path_factory.mktemp('weights') / 'some_backbone.pth'
    torch.save(file_of(vit), path)
    return str(path)
