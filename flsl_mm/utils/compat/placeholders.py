"""Repair OpenMMLab modules that were imported before mmcv's ops or their stand-in were there.

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

PACKAGES = ('mmcv', 'mmdet', 'mmpretrain', 'mmseg')
"""In the order in which they import each other."""


def guarded_imports(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield what a module imports from mmcv inside ``try``: the module, the name there and the name here."""
    for node in ast.walk(ast.parse(source)):
        for statement in node.body if isinstance(node, ast.Try) else ():
            if isinstance(statement, ast.ImportFrom) and (statement.module or '').startswith('mmcv.'):
                for alias in statement.names:
                    yield statement.module, alias.name, alias.asname or alias.name


def early_modules() -> list[ModuleType]:
    """List the loaded modules of OpenMMLab packages, none where mmdet is not or ``mmcv.ops`` was there before it."""
    if 'mmdet' not in sys.modules or 'mmcv.ops' in sys.modules:
        return []
    loaded = [(name.partition('.')[0], module) for name, module in list(sys.modules.items()) if module is not None]
    return [module for package in PACKAGES for owner, module in loaded if owner == package]


def replace_placeholders() -> None:
    """Put mmcv's ops where modules that are loaded already have placeholders, or nothing."""
    modules = early_modules()
    replaced = {}
    for module in modules:
        try:
            source = inspect.getsource(module)
        except (OSError, TypeError):  # an empty file, or none
            continue
        if 'except ImportError' in source:
            for origin, name, here in guarded_imports(source):
                try:
                    op = getattr(import_module(origin), name)
                except (ImportError, AttributeError):  # of another version of mmcv
                    continue
                placeholder = vars(module).get(here)
                if placeholder is not None:
                    replaced[id(placeholder)] = (placeholder, op)
                setattr(module, here, op)
    # Other modules took the placeholders from these.
    for module in modules:
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, name, replaced[id(value)][1])
