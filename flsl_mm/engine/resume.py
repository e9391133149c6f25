"""Finding the checkpoint to continue from: the newest one that can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flsl_mm.checkpoint import check_resumable, read_checkpoint

PREEMPTED = re.compile(r'preempted_iter_\d{1,15}\.pth')
"""Names of the checkpoints that are written on SIGTERM."""


def iterations_done(checkpoint: Path, epoch_length: int) -> int | None:
    """Infer from a checkpoint's name after how many iterations it was written.

    Returns:
        The number for ``epoch_N.pth``, ``iter_N.pth`` and ``preempted_iter_N.pth``, ``None`` for other names.
    """
    match = re.fullmatch(r'(epoch|iter|preempted_iter)_(\d{1,15})\.pth', checkpoint.name)
    return match and int(match[2]) * (epoch_length if match[1] == 'epoch' else 1)


def newest_first(folder: Path, epoch_length: int) -> list[Path]:
    """List the training checkpoints of a run.

    Args:
        folder: The run's folder.
        epoch_length: Iterations of an epoch.

    Returns:
        Files with names as of :func:`iterations_done`, those that were written later first; at the end, a file of
        another name in the same folder to which ``last_checkpoint`` points.
    """
    known = [path for path in folder.glob('*.pth') if iterations_done(path, epoch_length) is not None]
    known.sort(key=lambda path: iterations_done(path, epoch_length), reverse=True)
    named = last_checkpoint_path(folder)
    # In a copied folder it names a file of the original.
    inside = named and folder / named.name
    if inside and is_file(inside) and inside not in known:
        known.append(inside)
    return known


def last_checkpoint_path(folder: Path) -> Path | None:
    """Read ``last_checkpoint``; ``None`` if there is none, or if it holds no path."""
    pointer = folder / 'last_checkpoint'
    if not pointer.is_file():
        return None
    with pointer.open('rb') as file:
        name = os.fsdecode(file.read(10_000).strip())
    return Path(name) if name and name.isprintable() and Path(name).name else None


def readable(checkpoints: list[Path], warn: Callable[[str], None]) -> Iterator[tuple[Path, dict]]:
    """Yield the checkpoints that can be continued from, with their contents, and warn of each other in a line."""
    for path in checkpoints:
        try:
            content = read_checkpoint(path)
            check_resumable(content, str(path))
        except (ValueError, OSError) as error:
            warn(f'passed over a checkpoint: {error}')
        else:
            yield path, content


def find_resumable(folder: Path, epoch_length: int, warn: Callable[[str], None]) -> Path | None:
    """Find the newest checkpoint of a run that can be continued from.

    Neither a pointer file that is missing, empty or stale nor a damaged newest checkpoint keeps it from being found.

    Args:
        folder: The run's folder.
        epoch_length: Iterations of an epoch.
        warn: Takes a line for each newer checkpoint that was passed over.

    Returns:
        The checkpoint, or ``None`` where there is none at all.

    Raises:
        ValueError: If there are checkpoints and none of them can be read, or if ``last_checkpoint`` names one elsewhere
            and there is none here.
    """
    checkpoints = newest_first(folder, epoch_length)
    for path, _ in readable(checkpoints, warn):
        return path
    if checkpoints:
        raise ValueError(
            f'none of the {len(checkpoints)} checkpoints in {folder} can be read: move them away to start over'
        )
    elsewhere = last_checkpoint_path(folder)
    if elsewhere is not None and is_file(elsewhere):
        raise ValueError(
            f'there is no checkpoint in {folder}, and its last_checkpoint names {elsewhere}: continue from there with '
            '--resume PATH, or remove last_checkpoint to start over'
        )
    return None


def is_file(path: Path) -> bool:
    """Return whether there is a file of a name that may be too long for one."""
    try:
        return path.is_file()
    except OSError:
        return False


def preempted_names(names: Any) -> list[str]:
    """Keep what a run may remove of the names that a checkpoint holds, which can be anything.

    Returns:
        Names of checkpoints that SIGTERM had a run write, without folders.
    """
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and PREEMPTED.fullmatch(name)]
