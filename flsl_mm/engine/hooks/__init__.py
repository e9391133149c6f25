"""Hooks of training runs."""

from .checkpoint import FLSLCheckpointHook
from .collapse import FLSLCollapseHook
from .compile import FLSLCompileHook
from .export import FLSLBackboneExportHook
from .history import FLSLHistoryHook
from .non_finite import FLSLNonFiniteHook
from .preemption import FLSLPreemptionHook
from .report import FLSLReportHook
from .reseed import FLSLReseedHook
from .schedule import FLSLFreezeLastLayerHook, FLSLScheduleHook
from .whole import FLSLWholeCheckpointHook

__all__ = [
    'FLSLBackboneExportHook',
    'FLSLCheckpointHook',
    'FLSLCollapseHook',
    'FLSLCompileHook',
    'FLSLFreezeLastLayerHook',
    'FLSLHistoryHook',
    'FLSLNonFiniteHook',
    'FLSLPreemptionHook',
    'FLSLReportHook',
    'FLSLReseedHook',
    'FLSLScheduleHook',
    'FLSLWholeCheckpointHook',
]
