"""Optimizer wrappers and parameter groups."""

from .param_groups import FLSLOptimWrapperConstructor
from .wrapper import FLSLAmpOptimWrapper, FLSLOptimWrapper

__all__ = [
    'FLSLAmpOptimWrapper',
    'FLSLOptimWrapper',
    'FLSLOptimWrapperConstructor',
]
