"""Procedural scenes with exact masks, painted and written in real layouts; imports datasets, evaluation and engine."""

from .dataset import FLSLScenes
from .probe_hook import FLSLPatchProbeHook

__all__ = ['FLSLPatchProbeHook', 'FLSLScenes']
