"""Find config files by name, and the modules that they need.

Configs that come with the package lie beside it in a checkout, in ``.mim`` in a wheel.
"""

from __future__ import annotations

import os
import sys
import warnings
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

PACKAGE = Path(__file__).resolve().parents[1]


def configs_folder() -> Path:
    """Return the path of the folder ``configs``."""
    in_wheel = PACKAGE / '.mim' / 'configs'
    return in_wheel if in_wheel.is_dir() else PACKAGE.parent / 'configs'


def config_names() -> list[str]:
    """List the shipped configs as they are called: ``pretrain/flsl_vit-s16``."""
    folder = configs_folder()
    paths = (path.relative_to(folder) for path in folder.rglob('*.py'))
    return sorted(path.with_suffix('').as_posix() for path in paths if '_base_' not in path.parts)


def find_config(name: str | os.PathLike) -> Path:
    """Find a config by its path, or one of ours by its name, with or without folder, ``configs/`` and ``.py``.

    Raises:
        FileNotFoundError: If there is none; the message names what was perhaps meant.
    """
    if Path(name).is_file():
        return Path(name)
    wanted, known = Path(name).as_posix().removeprefix('configs/').removesuffix('.py'), config_names()
    found = [config for config in known if wanted in (config, config.rpartition('/')[2])]
    if len(found) == 1:
        return configs_folder() / f'{found[0]}.py'
    near = found or _closest(wanted, known)
    hint = f'did you mean {" or ".join(near)}?' if near else 'give the path of one, or one of those that flsl-mm lists'
    raise FileNotFoundError(f'no config file {os.fspath(name)!r}: {hint}')


def _closest(wanted: str, known: list[str]) -> list[str]:
    """Return the configs whose name, with or without folder, is most like the one that is wanted."""
    names = {**{config.rpartition('/')[2]: config for config in known}, **{config: config for config in known}}
    return list(dict.fromkeys(names[name] for name in get_close_matches(wanted, names, n=2)))


def import_custom_modules(cfg: Config, path: str | os.PathLike) -> None:
    """Import the modules that ``custom_imports`` of a config names; they may lie beside the config.

    Where one does, the config notes its folder as ``module_folder``: the copy that a run leaves in its work folder is
    not beside them.

    Args:
        cfg: The config, read without its imports.
        path: Its file.

    Raises:
        ImportError: If a module cannot be imported; the message names it.
    """
    custom = cfg.get('custom_imports') or {}
    names = [custom['imports']] if isinstance(custom.get('imports'), str) else custom.get('imports') or []
    folder = Path(cfg.get('module_folder') or Path(path).resolve().parent)
    roots = {name.partition('.')[0] for name in names}
    if any((folder / f'{root}.py').is_file() or (folder / root / '__init__.py').is_file() for root in roots):
        cfg.module_folder = str(folder)
        if str(folder) not in sys.path:  # behind what is installed, which nothing there can hide
            sys.path.append(str(folder))
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            if error.name and f'{name}.'.startswith(f'{error.name}.'):
                problem = 'is not found: put it beside the config, or its folder into PYTHONPATH'
            else:
                problem = f'cannot be imported: {error}'
            line = f'the module {name}, which custom_imports of {os.fspath(path)} names, {problem}'
            if not custom.get('allow_failed_imports'):
                raise ImportError(line) from error
            warnings.warn(line, stacklevel=2)
