"""Hooks of training runs."""

from .checkpoint import FLSLCheckpointHook
from .collapse import FLSLCollapseHook
from .compile import FLSLCompileHook
from .logger import FLSLLoggerHook
from .non_finite import FLSLNonFiniteHook
from .preemption import FLSLPreemptionHook
from .replace import ReplaceHook
from .schedule import FLSLFreezeLastLayerHook, FLSLScheduleHook

__all__ = [
    'FLSLCheckpointHook',
    'FLSLCollapseHook',
    'FLSLCompileHook',
    'FLSLFreezeLastLayerHook',
    'FLSLLoggerHook',
    'FLSLNonFiniteHook',
    'FLSLPreemptionHook',
    'FLSLScheduleHook',
    'ReplaceHook',
]
