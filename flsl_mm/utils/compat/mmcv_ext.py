"""Offer a stand-in for ``mmcv._ext`` to Python's import system, after every other finder.

``mmcv.ops`` imports the compiled module ``mmcv._ext``; without it ``import mmdet.models`` dies. The finder here stands
last in ``sys.meta_path``: where a compiled module exists the ordinary finders return it and this one is never called.
Nothing of mmcv is imported until mmcv itself asks for the module.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

EXTENSION = 'mmcv._ext'
MISSING_OPS_MESSAGE = (
    'mmcv was installed without compiled ops: nms, roi_align, sigmoid_focal_loss and ms_deform_attn run on torch and '
    'torchvision instead, other ops raise NotImplementedError; `flsl-mm doctor` prints the command that compiles them'
)


def missing_op(name: str) -> Callable:
    """Make the function that stands for a compiled op which has no replacement.

    Args:
        name: Name of the op in ``mmcv._ext``, for example ``'softnms'``.

    Returns:
        A function that takes anything and raises NotImplementedError naming the op.
    """

    def op(*args, **kwargs):
        raise NotImplementedError(
            f'the mmcv op {name!r} has no stand-in: it needs mmcv with compiled ops (docs/detection.md, "Compiled ops")'
        )

    op.__name__ = name
    return op


def _lookup(name: str) -> Callable:
    """Serve as the stand-in's module-level ``__getattr__``; dunder names stay absent, as Python's machinery expects."""
    if name.startswith('__') and name.endswith('__'):
        raise AttributeError(f'module {EXTENSION!r} has no attribute {name!r}')
    return missing_op(name)


class StandInLoader(Loader):
    """Fill the module ``mmcv._ext`` with :mod:`flsl_mm.utils.compat.ops` and warn once."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the creation of the module to Python."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the available ops into the module and let every other name resolve to :func:`missing_op`."""
        from . import ops

        vars(module).update({name: getattr(ops, name) for name in ops.__all__})
        module.__getattr__ = _lookup
        warnings.warn(MISSING_OPS_MESSAGE, RuntimeWarning, stacklevel=2)


class StandInFinder(MetaPathFinder):
    """Find ``mmcv._ext`` where nobody else did."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        """Return the stand-in's spec for ``mmcv._ext`` and None for every other name."""
        if fullname != EXTENSION:
            return None
        return ModuleSpec(EXTENSION, StandInLoader(), origin='flsl_mm.utils.compat')


def install() -> None:
    """Append the finder to ``sys.meta_path``; a second call changes nothing."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())
