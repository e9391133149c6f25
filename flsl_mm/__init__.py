"""FLSL as an OpenMMLab plugin: importing the package registers its backbone, necks, data sets and hooks.

The pretraining model needs mmpretrain and is registered by ``import flsl_mm.selfsup``; label propagation by
``import flsl_mm.vos``. Where mmcv has no compiled ops, importing the package also makes mmdet importable
(:mod:`flsl_mm.compat`).
"""

import sys

from .version import __version__

__all__ = ['__version__']

# `python -m flsl_mm.doctor` says what is wrong with an installation, so it has to start where imports fail.
if 'flsl_mm.doctor' not in sys.orig_argv:
    from . import compat

    compat.install()

    from . import datasets, engine, models

    __all__ += ['compat', 'datasets', 'engine', 'models']
