"""Hooks of training runs."""

from .checkpoint import FLSLCheckpointHook
from .collapse import FLSLCollapseHook
from .compile import FLSLCompileHook
from .dump_config import FLSLDumpConfigHook
from .export import FLSLBackboneExportHook
from .follow_config import FLSLFollowConfigHook
from .history import FLSLHistoryHook
from .logger import FLSLLoggerHook
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
    'FLSLDumpConfigHook',
    'FLSLFollowConfigHook',
    'FLSLFreezeLastLayerHook',
    'FLSLHistoryHook',
    'FLSLLoggerHook',
    'FLSLNonFiniteHook',
    'FLSLPreemptionHook',
    'FLSLReportHook',
    'FLSLReseedHook',
    'FLSLScheduleHook',
    'FLSLWholeCheckpointHook',
]
