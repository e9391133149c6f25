"""Data sets and samplers; importing registers them."""

from .images import FLSLImages
from .sampler import FLSLSampler
from .scenes_dataset import FLSLScenes

__all__ = ['FLSLImages', 'FLSLSampler', 'FLSLScenes']
