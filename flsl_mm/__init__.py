"""FLSL as an OpenMMLab plugin; its Python API, and the registration of its models with MMEngine.

Importing the package is light: neither torch nor MMEngine is loaded. Backbone, pyramid neck and head are registered
when MMEngine first looks up a model or imports its own, or at once where it already has: ``custom_imports=['flsl_mm']``
suffices, in any order of imports.
Each task registers what it needs besides: :mod:`flsl_mm.selfsup` (pretraining; imports mmpretrain),
:mod:`flsl_mm.detection` and :mod:`flsl_mm.uavdt` (import mmdet), :mod:`flsl_mm.segmentation` (imports mmseg),
:mod:`flsl_mm.vos`, :mod:`flsl_mm.scenes`. Where mmcv has no compiled ops, importing the package also makes mmdet
importable (:mod:`flsl_mm.utils.compat`).
"""

import sys
from importlib import import_module
from typing import Any

from .utils import compat
from .utils.after_import import after_import
from .utils.version import __version__

FROM_MODULES = {
    'load_model': '.evaluation.features',
    'load_timm_model': '.evaluation.features',
    'mean_shift_clusters': '.visualization.clusters',
    'predict': '.commands.predict',
    'pca_rgb': '.visualization.pca',
    'similarity_map': '.visualization.similarity',
}
"""The Python API: names and their modules, which are imported on first access."""

__all__ = [
    '__version__',
    'load_model',
    'load_timm_model',
    'mean_shift_clusters',
    'pca_rgb',
    'predict',
    'register',
    'similarity_map',
]


def __getattr__(name: str) -> Any:
    """Import what :data:`FROM_MODULES` names at its first use, so that importing the package stays light."""
    if name not in FROM_MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(FROM_MODULES[name], __name__), name)


def register() -> None:
    """Register the models and the loading of their weights with MMEngine; a second call changes nothing."""
    compat.replace_placeholders()  # of an mmdet that was imported before
    from . import checkpoint, models  # noqa: F401


def _register_at_first_lookup() -> None:
    """Have MMEngine's root registry of models import ours before it looks up a name, as it does with its own."""
    from mmengine.registry import MODELS

    MODELS._locations.append(f'{__name__}.models')
    MODELS._imported = False


def _register_with_mmengine() -> None:
    """Register once MMEngine's models are imported; if it is a room of ours that imports them, after that room."""
    if f'{__name__}.utils.mm' not in sys.modules:
        register()


compat.install()
after_import('mmengine.registry', _register_at_first_lookup)
# A child of the root registry, as mmdet's, does not import what the root would; but it imports MMEngine's models.
after_import('mmengine.model', _register_with_mmengine)
for room in ('models', 'checkpoint', 'scenes'):
    after_import(f'{__name__}.{room}', register)
