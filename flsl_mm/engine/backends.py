"""Backends of MMEngine: files written atomically, logged numbers as valid JSON, TensorBoard and Weights & Biases."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend

from flsl_mm.utils.fileio import atomic_writer

VIEWERS = dict(tensorboard='TensorboardVisBackend', wandb='WandbVisBackend')
"""MMEngine's backends by the name of the package that each needs, which is also that of our extra."""


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


@VISBACKENDS.register_module()
class FLSLVisBackend(LocalVisBackend):
    """MMEngine's ``LocalVisBackend`` that writes numbers which JSON does not know, NaN and infinity, as null."""

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        super()._dump({name: without_nan(value) for name, value in value_dict.items()}, file_path, file_format)


def without_nan(value: Any) -> Any:
    """Replace a number that is not finite by None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def add_vis_backend(cfg: Config, name: str) -> None:
    """Have a run write its numbers for a viewer of curves too.

    Args:
        cfg: The run's config, with its ``work_dir``, whose name W&B shows.
        name: Key of :data:`VIEWERS`.

    Raises:
        ImportError: If the package is missing.
    """
    if not find_spec(name):
        raise ImportError(f"--{name} needs {name}: pip install 'flsl_mm[{name}]'")
    backends = list(cfg.setdefault('visualizer', dict(type='Visualizer')).get('vis_backends') or [])
    if any(VIEWERS[name] in backend['type'] for backend in backends):
        return
    backend: dict[str, Any] = dict(type=VIEWERS[name])
    if name == 'wandb':
        backend['init_kwargs'] = dict(project='flsl_mm', name=Path(cfg.work_dir).name)
    cfg.visualizer.vis_backends = [*backends, backend]
