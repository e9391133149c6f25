"""FLSL pretraining; importing this subpackage imports mmpretrain."""

from .flsl import FLSL
from .views import FLSLDataPreprocessor

__all__ = ['FLSL', 'FLSLDataPreprocessor']
