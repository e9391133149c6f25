"""FLSL as an OpenMMLab plugin: importing the package registers its backbone, pyramid neck and head.

Each task registers what it needs besides: :mod:`flsl_mm.selfsup` (pretraining; imports mmpretrain),
:mod:`flsl_mm.detection` and :mod:`flsl_mm.uavdt` (import mmdet), :mod:`flsl_mm.vos`, :mod:`flsl_mm.scenes`. Where mmcv
has no compiled ops, importing the package also makes mmdet importable (:mod:`flsl_mm.compat`).
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from .shipped import shipped_folder
from .version import __version__

FROM_MODULES = {
    'load_model': '.api',
    'load_timm_model': '.api',
    'mean_shift_clusters': '.evaluation.clusters',
    'pca_rgb': '.evaluation.pca',
    'similarity_map': '.evaluation.similarity',
}
"""The Python interface: names and their modules, which are imported on first access."""

__all__ = [
    '__version__',
    'load_model',
    'load_timm_model',
    'mean_shift_clusters',
    'pca_rgb',
    'register',
    'similarity_map',
]


def __getattr__(name: str) -> Any:
    """Import what :data:`FROM_MODULES` names at its first use, so that importing the package stays light."""
    if name not in FROM_MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(FROM_MODULES[name], __name__), name)


def register() -> None:
    """Register models and the loading of their weights, and offer the stand-in for mmcv's compiled ops; once."""
    from . import compat

    compat.install()
    compat.replace_placeholders()  # of an mmdet that was imported before
    from . import checkpoint, models  # noqa: F401


def _is_own_command() -> bool:
    """Return whether this process is one of the project's commands, which register after reading their options.

    Torch takes seconds to load: ``--help`` should not wait for it, and the doctor has to start where it fails.
    """
    if sys.argv[:1] == ['-m']:  # so Python calls the program while it imports the package of `python -m`
        return bool({'flsl_mm', 'flsl_mm.doctor'} & set(sys.orig_argv))
    program = getattr(sys.modules.get('__main__'), '__file__', None)
    if program is None:
        return False
    return Path(program).stem == 'flsl-mm' or shipped_folder('tools') in Path(program).resolve().parents


if not _is_own_command():
    register()
