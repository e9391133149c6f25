"""FLSL as an OpenMMLab plugin: importing the package registers its backbone, necks, data sets and hooks.

The pretraining model needs mmpretrain and is registered by ``import flsl_mm.selfsup``; label propagation by
``import flsl_mm.vos``. Where mmcv has no compiled ops, importing the package also makes mmdet importable
(:mod:`flsl_mm.compat`).
"""

from . import compat

compat.install()

from . import datasets, engine, models  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'compat', 'datasets', 'engine', 'models']
