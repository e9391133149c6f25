"""The work folder of a training run: names of its files, and a lock so that one run at a time writes there."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .fileio import open_in_place

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


RUN_FILES = re.compile(
    r'(preempted_)?(epoch|iter)_\d+(_backbone)?\.pth|best_.+_(epoch|iter)_\d+\.pth|last_checkpoint|'
    r'non_finite_iter\d+_rank\d+\.json|\d{8}_\d{6}|' + '|'.join(map(re.escape, (SKIPPED, VERDICT)))
)
"""Names of what a run writes, the folders of its logs among them; its config is written anew by the next run."""

LOG_FILES = ('*.log', *(f'vis_data/{name}' for name in ('*.json', '*.png', 'config.py', 'events.out.tfevents.*')))
LOG_FILES += ('vis_data/vis_image', 'vis_data/wandb')
"""What a run writes into the folder of its logs."""


def earlier_files(folder: Path) -> list[Path]:
    """List what a run has left in its work folder, or in that of its checkpoints: files, links and folders of logs."""
    found = [path for path in folder.iterdir() if RUN_FILES.fullmatch(path.name)]
    return sorted(
        path for path in found if path.is_symlink() or path.is_file() or (path / f'{path.name}.log').is_file()
    )


def remove(path: Path) -> None:
    """Remove a file or link of a run, or a folder of its logs; what no run writes stays there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for written in (found for pattern in LOG_FILES for found in path.glob(pattern)):
        if written.is_dir() and not written.is_symlink():
            shutil.rmtree(written)
        else:
            written.unlink()
    for folder in (path / 'vis_data', path):
        with suppress(OSError):  # something else is in it
            folder.rmdir()


def refuse_links(work_dir: str | os.PathLike, log_dir: str | os.PathLike, config: str) -> None:
    """Make sure that what a run writes stays in its work folder, before anything is written there.

    Checkpoints may be links: they are replaced.

    Args:
        work_dir: The work folder, which may itself be a link.
        log_dir: The folder of this run's logs.
        config: Name under which the config is written.

    Raises:
        ValueError: If a file or folder that will be written is a link, or a file a pipe, a device or a folder.
    """
    written = [Path(work_dir) / name for name in (LOCK, 'last_checkpoint', SKIPPED, VERDICT, config)]
    for path in (*written, Path(log_dir), *Path(log_dir).rglob('*')):
        if path.is_symlink():
            raise ValueError(f'{path} is a link: remove it')
    for path in written:
        if path.exists() and not path.is_file():  # to open a pipe would wait for ever
            raise ValueError(f'{path} is not a regular file: remove it')


@contextmanager
def locked_folder(
    folder: str | os.PathLike, advice: str = 'wait for that run, end it, or give --work-dir another'
) -> Iterator[None]:
    """Hold a folder for one run; of several processes of a job the first holds it for all.

    The lock is the process's own: loader workers that outlive a killed run do not keep it.

    Args:
        folder: The work folder, or that of the checkpoints; made if it is not there.
        advice: What to do where it is held, for the message.

    Raises:
        BlockingIOError: If another run holds it; the message names that.
        ValueError: If the file that is locked is a link.
    """
    if fcntl is None:
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with open_in_place(Path(folder) / LOCK) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = ' '.join(file.read().decode('utf-8', 'replace').split()) or 'another process'
            raise BlockingIOError(f'the folder {folder} is in use by {holder}: {advice}') from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
        file.flush()
        yield
        file.truncate(0)
