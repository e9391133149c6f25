"""Names that tell files apart, for tables, legends, pages and the files of outputs."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path


def distinct_names(names: Sequence[str], paths: Sequence[str | os.PathLike], taken: Collection[str] = ()) -> list[str]:
    """Name files in short where that tells them apart, otherwise by as much of their paths' ends as does.

    Args:
        names: The short names.
        paths: Path of each file, or what else stands for it on the command line; all different.
        taken: Names that something else has.

    Returns:
        A name for each, none twice and none of those that are taken.

    Raises:
        ValueError: If a path is there twice.
    """
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    if len(set(parts)) < len(parts):
        raise ValueError(f'{os.fspath(max(paths, key=list(paths).count))} is named twice: name it once')
    chosen, lengths = list(names), [0] * len(names)
    while alike := {name for name, count in Counter([*chosen, *set(taken)]).items() if count > 1}:
        for index, name in enumerate(chosen):
            if name in alike:
                lengths[index] += 1
                chosen[index] = os.path.join(*parts[index][-lengths[index] :])
    return chosen


def numbered_if_alike(names: Sequence[str]) -> list[str]:
    """Number all names of files where two are equal, or would be on a system that knows no capitals."""
    if len({name.lower() for name in names}) == len(names):
        return list(names)
    width = len(str(len(names)))
    return [f'{number:0{width}d}-{name}' for number, name in enumerate(names, start=1)]


def safe_name(name: str) -> str:
    """Return a name that any file system and any address takes, at most 40 letters of it."""
    return re.sub(r'[^A-Za-z0-9-]+', '-', name)[:40].strip('-') or 'image'
