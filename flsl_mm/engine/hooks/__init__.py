"""Hooks of training runs."""

from .checkpoint import FLSLCheckpointHook
from .compile import FLSLCompileHook
from .export import FLSLBackboneExportHook
from .history import FLSLHistoryHook
from .non_finite import FLSLNonFiniteHook
from .preemption import FLSLPreemptionHook
from .report import FLSLReportHook
from .reseed import FLSLReseedHook
from .schedule import FLSLFreezeLastLayerHook, FLSLScheduleHook
from .skipped_images import FLSLSkippedImagesHook

__all__ = [
    'FLSLBackboneExportHook',
    'FLSLCheckpointHook',
    'FLSLCompileHook',
    'FLSLFreezeLastLayerHook',
    'FLSLHistoryHook',
    'FLSLNonFiniteHook',
    'FLSLPreemptionHook',
    'FLSLReportHook',
    'FLSLReseedHook',
    'FLSLScheduleHook',
    'FLSLSkippedImagesHook',
]
