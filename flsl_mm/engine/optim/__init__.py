"""Optimizer wrappers, parameter groups and the learning-rate schedule."""

from .param_groups import FLSLOptimWrapperConstructor
from .warmup_cosine import FLSLWarmupCosineLR
from .wrapper import FLSLAmpOptimWrapper, FLSLOptimWrapper

__all__ = [
    'FLSLAmpOptimWrapper',
    'FLSLOptimWrapper',
    'FLSLOptimWrapperConstructor',
    'FLSLWarmupCosineLR',
]
