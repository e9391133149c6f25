"""Backbones, pyramid neck and prototype head; imports torch, timm and, through :mod:`flsl_mm.utils.mm`, mmengine."""

from .backbone import PatchBackbone
from .prototype_head import FLSLHead
from .spec import ARCHS, BackboneSpec
from .timm_vit import TimmSpec, TimmViT
from .vit import FLSLViT
from .vit_pyramid import FLSLViTPyramid

__all__ = [
    'ARCHS',
    'BackboneSpec',
    'FLSLHead',
    'FLSLViT',
    'FLSLViTPyramid',
    'PatchBackbone',
    'TimmSpec',
    'TimmViT',
]
