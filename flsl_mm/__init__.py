"""FLSL as an OpenMMLab plugin: importing the package registers its backbone, models, data sets and hooks."""

from . import models
from .version import __version__

__all__ = ['__version__', 'models']
