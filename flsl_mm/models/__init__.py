"""Backbone, pyramid neck and prototype head."""

from .prototype_head import FLSLHead
from .vit import FLSLViT
from .vit_pyramid import FLSLViTPyramid

__all__ = ['FLSLHead', 'FLSLViT', 'FLSLViTPyramid']
