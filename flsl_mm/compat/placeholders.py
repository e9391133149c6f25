"""Repairs modules of OpenMMLab that were imported too early, before mmcv's ops or the stand-in for them were there.

The maintained forks' mmdet imports without compiled ops: where ``from mmcv.ops import ...`` fails, a placeholder of the
same name raises when it is called. It would stay for the life of the process, and hide the stand-in.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

PACKAGES = ('mmdet', 'mmpretrain', 'mmseg')


def guarded_imports(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield what a module imports from ``mmcv.ops`` inside ``try``: the module, the name there and the name here."""
    for node in ast.walk(ast.parse(source)):
        for statement in node.body if isinstance(node, ast.Try) else ():
            if isinstance(statement, ast.ImportFrom) and (statement.module or '').startswith('mmcv.ops'):
                for alias in statement.names:
                    yield statement.module, alias.name, alias.asname or alias.name


def early_modules() -> list[ModuleType]:
    """List the loaded modules of OpenMMLab packages, none where ``mmcv.ops`` was there before them."""
    if 'mmcv.ops' in sys.modules:
        return []
    return [module for name, module in list(sys.modules.items()) if name.partition('.')[0] in PACKAGES and module]


def replace_placeholders() -> int:
    """Put mmcv's ops where modules that are loaded already have placeholders; returns how many names were replaced."""
    modules = early_modules()
    replaced = {}
    for module in modules:
        try:
            source = inspect.getsource(module)
        except (OSError, TypeError):  # an empty file, or none
            continue
        if 'mmcv.ops' in source:
            for origin, name, here in guarded_imports(source):
                placeholder = vars(module).get(here)
                replaced[id(placeholder)] = (placeholder, getattr(import_module(origin), name))
    count = 0
    for module in modules:
        for name, value in list(vars(module).items()):
            placeholder, op = replaced.get(id(value), (None, None))
            if placeholder is not None:
                setattr(module, name, op)
                count += 1
    return count
