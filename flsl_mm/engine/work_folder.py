"""The work folder of a training run: names of its files, and a lock so that one run at a time writes there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # not on this system: nothing is locked
    fcntl = None

LOCK = '.training'
"""File that a run holds locked in its work folder; the system unlocks it however the process ends."""

SKIPPED = 'skipped_images.txt'
"""List of the image files that could not be used; each line is a path, a tab and the reason."""

VERDICT = 'verdict.json'
"""Verdict and measurements of a pretraining run."""


@contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Hold a folder for one run; of several processes of a job the first holds it for all.

    The lock is the process's own: loader workers that outlive a killed run do not keep it.

    Args:
        folder: The work folder, or that of the checkpoints; made if it is not there.

    Raises:
        BlockingIOError: If another run holds it; the message names that.
    """
    if fcntl is None:
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with open(Path(folder) / LOCK, 'a+', encoding='utf-8') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = ' '.join(file.read().split()) or 'another process'
            raise BlockingIOError(
                f'the folder {folder} is in use by {holder}: wait for that run, end it, or give --work-dir another'
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield
        file.truncate(0)
