"""Optimiser wrappers, parameter groups and the learning-rate schedule."""

from .layer_decay import FLSLLayerDecayConstructor
from .param_groups import FLSLOptimWrapperConstructor
from .warmup_cosine import FLSLWarmupCosineLR
from .wrapper import FLSLAmpOptimWrapper, FLSLOptimWrapper

__all__ = [
    'FLSLAmpOptimWrapper',
    'FLSLLayerDecayConstructor',
    'FLSLOptimWrapper',
    'FLSLOptimWrapperConstructor',
    'FLSLWarmupCosineLR',
]
