"""Backbone, pyramid neck and prototype head."""

from .pos_embed import resize_pos_embed, sincos_pos_embed
from .vit import FLSLViT

__all__ = ['FLSLViT', 'resize_pos_embed', 'sincos_pos_embed']
