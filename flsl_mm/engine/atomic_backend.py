"""File backend of MMEngine that writes a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

PARTIAL = '.partial'
"""Ending of a file that is being written, or whose writer was killed."""


class FLSLAtomicBackend(LocalBackend):
    """MMEngine's ``LocalBackend`` that writes under a temporary name, flushes to the disk, and renames.

    A kill at any moment leaves the earlier file of that name or the new one. ``CheckpointHook`` uses it with
    ``backend_args=dict(backend='FLSLAtomicBackend')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``.

        Raises:
            OSError: If it cannot be written, with a line that says what to do; an earlier file stays as it was.
        """
        path = Path(filepath)
        partial = path.with_name(path.name + PARTIAL)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            flush_folder(path.parent)
        except OSError as error:
            raise OSError(
                error.errno,
                f'cannot write {path} ({error.strerror}); earlier checkpoints are untouched: make room, then continue '
                'with --resume',
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text as :meth:`put` does."""
        self.put(obj.encode(encoding), filepath)


def flush_folder(folder: Path) -> None:
    """Make renames in ``folder`` outlast a loss of power, where the system can."""
    if not hasattr(os, 'O_DIRECTORY'):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


register_backend('FLSLAtomicBackend', FLSLAtomicBackend, force=True)
