"""Procedural scenes with exact masks, and trees of them in real layouts; imports datasets and mm."""

from .dataset import FLSLScenes

__all__ = ['FLSLScenes']
