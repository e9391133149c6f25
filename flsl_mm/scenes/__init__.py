"""Procedural scenes with exact masks, painted and written in real layouts; imports datasets."""

from .dataset import FLSLScenes

__all__ = ['FLSLScenes']
