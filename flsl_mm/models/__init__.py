"""Backbone and prototype head."""

from .prototype_head import FLSLHead
from .vit import FLSLViT

__all__ = ['FLSLHead', 'FLSLViT']
