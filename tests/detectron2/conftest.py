"""Weights for the tests of flsl_mm.detectron2."""

import pytest
import torch

from flsl_mm.checkpoint import backbone_file
from flsl_mm.models import FLSLViT


@pytest.fixture(scope='session')
def vit() -> FLSLViT:
    """Make a small backbone."""
    torch.manual_seed(1)
    return FLSLViT(dict(embed_dim=16, depth=4, num_heads=2), patch_size=16, img_size=64)


@pytest.fixture(scope='session')
def weights(tmp_path_factory, vit) -> str:
    """Write its backbone file, with ImageNet's normalization."""
    path = tmp_path_factory.mktemp('weights') / 'some_backbone.pth'
    torch.save(backbone_file(vit, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)), path)
    return str(path)
