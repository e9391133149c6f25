"""Find config files by name; those that come with the package lie beside it in a checkout, in ``.mim`` in a wheel."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

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
