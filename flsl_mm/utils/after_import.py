"""Call a function after the import of a module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _LoaderAndThen(Loader):
    """Load a module with its own loader, then call a function."""

    def __init__(self, loader: Loader, action: Callable[[], None]) -> None:
        self.loader = loader
        self.action = action

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as its own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module under its own loader, and call the function."""
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.action()


class _Finder(MetaPathFinder):
    """Find one module as the other finders do, with a loader that calls a function after it."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name = name
        self.action = action

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        """Return the spec of the module that is waited for, and None for every other."""
        if fullname != self.name:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None:
            spec.loader = _LoaderAndThen(spec.loader, self.action)
        return spec


def after_import(name: str, action: Callable[[], None]) -> None:
    """Call ``action`` after each import of the module ``name``, and now if it has been imported.

    Args:
        name: Dotted name of the module; it need not be installed.
        action: What is called, without arguments.
    """
    if name in sys.modules:
        action()
    sys.meta_path.insert(0, _Finder(name, action))
