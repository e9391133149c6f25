"""File backend of MMEngine that writes a file atomically."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from flsl_mm.utils.fileio import atomic_writer


class FLSLAtomicBackend(LocalBackend):
    """MMEngine's ``LocalBackend`` that writes through :func:`flsl_mm.utils.fileio.atomic_writer`.

    ``CheckpointHook`` uses it with ``backend_args=dict(backend='FLSLAtomicBackend')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``.

        Raises:
            OSError: If it cannot be written, with a line that says what to do; an earlier file stays as it was.
        """
        path = Path(filepath)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_writer(path) as file:
                file.write(obj)
        except OSError as error:
            raise OSError(
                error.errno,
                f'cannot write {path} ({error.strerror}); earlier checkpoints are untouched: make room, then continue '
                'with --resume',
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text as :meth:`put` does."""
        self.put(obj.encode(encoding), filepath)


register_backend('FLSLAtomicBackend', FLSLAtomicBackend, force=True)
