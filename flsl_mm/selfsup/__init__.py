"""The method: views, mean shift, losses, teacher. The only room that imports mmpretrain; imports models and engine."""

from flsl_mm import engine
from flsl_mm.datasets import images, sampler, shards

from .flsl import FLSL
from .views import FLSLDataPreprocessor

__all__ = ['FLSL', 'FLSLDataPreprocessor', 'engine', 'images', 'sampler', 'shards']
