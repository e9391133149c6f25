"""Backbone, pyramid neck and prototype head; imports torch and timm, and mmengine through :mod:`flsl_mm.mm` only."""

from .prototype_head import FLSLHead
from .vit import FLSLViT
from .vit_pyramid import FLSLViTPyramid

__all__ = ['FLSLHead', 'FLSLViT', 'FLSLViTPyramid']
