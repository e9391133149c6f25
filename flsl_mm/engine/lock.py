"""One training run at a time in a work folder."""

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

RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
"""Where launchers tell a process its number."""


@contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Hold a work folder for one run; of several processes of a job the first holds it for all.

    The lock is the process's own: loader workers that outlive a killed run do not keep it.

    Args:
        folder: The work folder, made if it is not there.

    Raises:
        BlockingIOError: If another run holds it; the message names that.
    """
    ranks = [os.environ[name] for name in RANKS if name in os.environ]
    if fcntl is None or (ranks and ranks[0] != '0'):
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
                f'the work folder {folder} is in use by {holder}: wait for that run, end it, or give --work-dir another'
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield
        file.truncate(0)
