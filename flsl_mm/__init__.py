"""FLSL as an OpenMMLab plugin: importing the package registers its backbone, head, data sets and hooks.

The pretraining model itself needs mmpretrain and is registered by ``import flsl_mm.selfsup``.
"""

from . import datasets, engine, models
from .version import __version__

__all__ = ['__version__', 'datasets', 'engine', 'models']
