"""Pictures on the disk, as pretraining reads them; imports torch, Pillow and mmengine's registries."""

from .images import FLSLImages
from .sampler import FLSLSampler

__all__ = ['FLSLImages', 'FLSLSampler']
