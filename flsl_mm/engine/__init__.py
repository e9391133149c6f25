"""Optimiser wrappers, schedules and hooks of training."""

from .lr_scheduler import FLSLWarmupCosineLR
from .optim_wrapper import FLSLAmpOptimWrapper, FLSLOptimWrapper
from .param_groups import FLSLOptimWrapperConstructor
from .schedule_hooks import FLSLFreezeLastLayerHook, FLSLScheduleHook

__all__ = [
    'FLSLAmpOptimWrapper',
    'FLSLFreezeLastLayerHook',
    'FLSLOptimWrapper',
    'FLSLOptimWrapperConstructor',
    'FLSLScheduleHook',
    'FLSLWarmupCosineLR',
]
