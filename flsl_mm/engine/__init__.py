"""Optimiser wrappers, schedules and hooks of training."""

from .export_hook import FLSLBackboneExportHook
from .lr_scheduler import FLSLWarmupCosineLR
from .optim_wrapper import FLSLAmpOptimWrapper, FLSLOptimWrapper
from .param_groups import FLSLOptimWrapperConstructor
from .probe_hook import FLSLPatchProbeHook
from .report_hook import FLSLReportHook
from .schedule_hooks import FLSLFreezeLastLayerHook, FLSLScheduleHook
from .seed_hook import FLSLReseedHook

__all__ = [
    'FLSLAmpOptimWrapper',
    'FLSLBackboneExportHook',
    'FLSLFreezeLastLayerHook',
    'FLSLOptimWrapper',
    'FLSLOptimWrapperConstructor',
    'FLSLPatchProbeHook',
    'FLSLReportHook',
    'FLSLReseedHook',
    'FLSLScheduleHook',
    'FLSLWarmupCosineLR',
]
