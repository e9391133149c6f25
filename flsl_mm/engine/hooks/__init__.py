"""Hooks of training runs."""

from .checkpoint import FLSLCheckpointHook
from .collapse import FLSLCollapseHook
from .compile import FLSLCompileHook
from .dump_config import FLSLDumpConfigHook
from .export import FLSLBackboneExportHook
from .history import FLSLHistoryHook
from .logger import FLSLLoggerHook
from .non_finite import FLSLNonFiniteHook
from .preemption import FLSLPreemptionHook
from .report import FLSLReportHook
from .reseed import FLSLReseedHook
from .resume_schedule import FLSLResumeScheduleHook
from .schedule import FLSLFreezeLastLayerHook, FLSLScheduleHook
from .strict_loading import FLSLStrictLoadingHook

__all__ = [
    'FLSLBackboneExportHook',
    'FLSLCheckpointHook',
    'FLSLCollapseHook',
    'FLSLCompileHook',
    'FLSLDumpConfigHook',
    'FLSLFreezeLastLayerHook',
    'FLSLHistoryHook',
    'FLSLLoggerHook',
    'FLSLNonFiniteHook',
    'FLSLPreemptionHook',
    'FLSLReportHook',
    'FLSLReseedHook',
    'FLSLResumeScheduleHook',
    'FLSLScheduleHook',
    'FLSLStrictLoadingHook',
]
