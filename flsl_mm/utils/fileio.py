"""Write files atomically, and read regular files only; imports the standard library only."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

PARTIAL = '.partial'
"""Ending of a file that is being written, or whose writer was killed."""

TEMPORARY = re.compile(rf'\.(.+)\.[0-9a-f]{{16}}{re.escape(PARTIAL)}', re.DOTALL)
"""Its name, with that of the file."""


@contextmanager
def atomic_writer(path: str | os.PathLike, mode: str = 'wb', flush: bool = True, **options) -> Iterator[IO]:
    """Open a file that takes its name when the block has ended without an error.

    It is written under a temporary name beside ``path`` that nobody can guess, flushed to the disk and renamed, and the
    folder is flushed: a kill or a loss of power at any moment leaves the earlier file of that name or the new one. A
    link at ``path`` is replaced, not followed. Several of these in one ``with`` statement (or
    :class:`contextlib.ExitStack`) take their names when all of them were written.

    Args:
        path: File to write; its folder must exist.
        mode: ``'wb'``, or ``'w'`` for text, in UTF-8.
        flush: Whether to wait for the disk, some milliseconds. Without, it withstands a kill but no loss of power.
        **options: Of :func:`open`.

    Yields:
        The open file.

    Raises:
        OSError: If it cannot be written; an earlier file at ``path`` stays as it was.
    """
    path = Path(path)
    # A name may have 255 bytes, of which a character takes up to 4.
    temporary = path.with_name(f'.{path.name[:50]}.{os.urandom(8).hex()}{PARTIAL}')
    if 'b' not in mode:
        options.setdefault('encoding', 'utf-8')
    try:
        with open(temporary, mode.replace('w', 'x'), **options) as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if flush:
            flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` in UTF-8 as :func:`atomic_writer` does."""
    with atomic_writer(path, 'w') as file:
        file.write(text)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write plain types as JSON as :func:`atomic_writer` does; numbers that JSON does not know become null."""
    write_text(path, json.dumps(_without_nan(content), indent=1, allow_nan=False) + '\n')


def _without_nan(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    return [_without_nan(value) for value in content] if isinstance(content, (list, tuple)) else content


def open_in_place(path: str | os.PathLike, folder: int | None = None, mode: str = 'ab+') -> IO[bytes]:
    """Open a file of ours, which a run adds to where it lies, for reading and writing; no link is followed.

    Args:
        path: The file.
        folder: Descriptor of the open folder that ``path`` is relative to.
        mode: ``'ab+'`` to append, or ``'r+b'``.

    Raises:
        ValueError: If it is a link, another name of some file, or no regular file; the message says what to do.
        OSError: If it cannot be opened.
    """
    return open(path, mode, opener=partial(_open_own, folder=folder))


def append(path: str | os.PathLike, content: bytes, folder: int | None = None) -> None:
    """Add to a file; a link at its path, or what else is no file of its own, is replaced, not followed.

    Args:
        path: The file.
        content: What is added.
        folder: As of :func:`open_in_place`.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        file = open_in_place(path, folder)
    except ValueError:
        os.unlink(path, dir_fd=folder)
        file = open_in_place(path, folder)
    with file:
        file.write(content)


def _open_own(path: str | os.PathLike, flags: int, folder: int | None = None) -> int:
    flags |= getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0)
    try:
        descriptor = os.open(path, flags, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ValueError(f'{os.fspath(path)} is a link: remove it') from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    kind = 'a second name of another file' if stat.S_ISREG(status.st_mode) else 'not a regular file'
    raise ValueError(f'{os.fspath(path)} is {kind}: remove it')


def open_regular(path: str | bytes | os.PathLike) -> IO[bytes]:
    """Open a file for reading, but no pipe or device, which could keep the program waiting for ever.

    Raises:
        ValueError: If it is anything but a regular file, or a link to one.
        OSError: If it cannot be opened.
    """
    file = open(path, 'rb', opener=_open_without_waiting)  # noqa: SIM115  it is returned open
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f'{os.fsdecode(path)} is not a regular file but a pipe or a device')
    return file


def _open_without_waiting(path: str | bytes | os.PathLike, flags: int) -> int:
    return os.open(path, flags | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_NOCTTY', 0))


def remove_partial(folder: str | os.PathLike, names: re.Pattern) -> None:
    """Remove what writers that were killed have left in a folder; nobody may be writing these files there.

    Args:
        folder: The folder.
        names: Names of the files that were to be written; what is like them alone is left as it is.
    """
    for path in Path(folder).glob(f'.*{PARTIAL}'):
        found = TEMPORARY.fullmatch(path.name)
        if found and names.fullmatch(found[1]) and stat.S_ISREG(path.lstat().st_mode):
            path.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make renames in ``folder`` outlast a loss of power, where the system can."""
    if not hasattr(os, 'O_DIRECTORY'):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def printable(text: str | os.PathLike) -> str:
    """Write what a terminal would obey or cannot show, in names that come from elsewhere, as Python's escapes."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in os.fspath(text))
