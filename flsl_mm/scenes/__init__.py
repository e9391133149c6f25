"""Procedural scenes with exact masks, in real layouts; imports datasets, evaluation, visualization and engine."""

from .dataset import FLSLScenes
from .probe_hook import FLSLPatchProbeHook

__all__ = ['FLSLPatchProbeHook', 'FLSLScenes']
