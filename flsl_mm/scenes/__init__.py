"""Procedural scenes with exact masks, painted and written in real layouts; imports datasets, and mmengine to register itself."""

from .dataset import FLSLScenes

__all__ = ['FLSLScenes']
