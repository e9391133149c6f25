"""Finding the checkpoint to continue from: the newest one that can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from flsl_mm.checkpoint import read_checkpoint

NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer')
"""Entries of a checkpoint without which a run cannot be continued."""


def iterations_done(checkpoint: Path, epoch_length: int) -> int | None:
    """Tell from a checkpoint's name after how many iterations it was written.

    Returns:
        The number for ``epoch_N.pth``, ``iter_N.pth`` and ``preempted_iter_N.pth``, ``None`` for other names.
    """
    match = re.fullmatch(r'(epoch|iter|preempted_iter)_(\d+)\.pth', checkpoint.name)
    return match and int(match[2]) * (epoch_length if match[1] == 'epoch' else 1)


def newest_first(folder: Path, epoch_length: int) -> list[Path]:
    """List the training checkpoints of a run.

    Args:
        folder: The run's folder.
        epoch_length: Iterations of an epoch.

    Returns:
        Files with names as of :func:`iterations_done`, those that were written later first; at the end, a file of
        another name that ``last_checkpoint`` points to.
    """
    known = [path for path in folder.glob('*.pth') if iterations_done(path, epoch_length) is not None]
    known.sort(key=lambda path: iterations_done(path, epoch_length), reverse=True)
    pointer = folder / 'last_checkpoint'
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if named and Path(named).is_file() and Path(named) not in known:
        known.append(Path(named))
    return known


def readable(checkpoints: list[Path], complain: Callable[[str], None]) -> Iterator[tuple[Path, dict]]:
    """Yield the checkpoints that can be continued from, with their contents, and complain of the others in a line."""
    for path in checkpoints:
        try:
            content = read_checkpoint(path)
            missing = [entry for entry in NEEDED if entry not in content]
            if missing:
                raise ValueError(f'{path} has no {", ".join(missing)}')
        except (ValueError, OSError) as error:
            complain(f'passed over a checkpoint: {error}')
        else:
            yield path, content


def find_resumable(folder: Path, epoch_length: int, complain: Callable[[str], None]) -> Path | None:
    """Find the newest checkpoint of a run that can be continued from.

    Neither a pointer file that is missing, empty or stale nor a damaged newest checkpoint keeps it from being found.

    Args:
        folder: The run's folder.
        epoch_length: Iterations of an epoch.
        complain: Takes a line for each newer checkpoint that was passed over.

    Returns:
        The checkpoint, or ``None`` where there is none at all.

    Raises:
        ValueError: If there are checkpoints and none of them can be read.
    """
    checkpoints = newest_first(folder, epoch_length)
    for path, _ in readable(checkpoints, complain):
        return path
    if checkpoints:
        raise ValueError(
            f'none of the {len(checkpoints)} checkpoints in {folder} can be read: move them away to start anew'
        )
    return None
