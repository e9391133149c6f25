"""Backends of MMEngine: files written atomically, logged numbers as valid JSON, TensorBoard and Weights & Biases."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.fileio import LocalBackend, dump, register_backend
from mmengine.fileio.backends.registry_utils import backends, prefix_to_backends
from mmengine.fileio.io import backend_instances
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend
from mmengine.visualization.vis_backend import force_init_env
from PIL import Image

from flsl_mm.utils.fileio import append, atomic_writer, write_text

VIEWERS = dict(tensorboard='TensorboardVisBackend', wandb='WandbVisBackend')
"""MMEngine's backends by the name of the package that each needs, which is also that of our extra."""


class OwnFilesBackend(LocalBackend):
    """MMEngine's ``LocalBackend`` that writes through :mod:`flsl_mm.utils.fileio`: links are replaced, not followed."""

    flush = False

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path, flush=self.flush) as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text as :meth:`put` does."""
        self.put(obj.encode(encoding), filepath)


class FLSLAtomicBackend(OwnFilesBackend):
    """The same for checkpoints: it waits for the disk, and says what to do where one cannot be written.

    ``CheckpointHook`` uses it with ``backend_args=dict(backend='FLSLAtomicBackend')``.
    """

    flush = True

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``.

        Raises:
            OSError: If it cannot be written, with a line that says what to do; an earlier file stays as it was.
        """
        try:
            super().put(obj, filepath)
        except OSError as error:
            raise OSError(
                error.errno,
                f'cannot write {filepath} ({error.strerror}); earlier checkpoints are untouched: make room, then '
                'continue with --resume',
            ) from error


register_backend('FLSLAtomicBackend', FLSLAtomicBackend, force=True)


@contextmanager
def writing_own_files() -> Iterator[None]:
    """Have all that MMEngine, mmdet and mmseg write through MMEngine's local backend go through ours in this context.

    These are drawn images, detections and logs that are copied; they have names that anybody can guess.
    """
    default, local = prefix_to_backends[''], backends['local']
    prefix_to_backends[''] = backends['local'] = OwnFilesBackend
    backend_instances.clear()
    try:
        yield
    finally:
        prefix_to_backends[''], backends['local'] = default, local
        backend_instances.clear()


@VISBACKENDS.register_module()
class FLSLVisBackend(LocalVisBackend):
    """MMEngine's ``LocalVisBackend`` that follows no links, and writes numbers which JSON does not know as null.

    Its folder is opened once: what is put in its place during a run is not written to.
    """

    folder: int | None = None

    def _init_env(self) -> None:
        super()._init_env()
        if hasattr(os, 'O_DIRECTORY'):
            self.folder = os.open(self._save_dir, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Close the folder."""
        if self.folder is not None:
            os.close(self.folder)
            self.folder = None
        super().close()

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Write the config."""
        write_text(self._config_save_file, config.pretty_text)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Write an image, RGB, (H, W, 3), uint8."""
        folder = Path(self._img_save_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise ValueError(f'{folder} is a link: remove it')
        with atomic_writer(folder / f'{name}_{step}.png', flush=False) as file:
            Image.fromarray(image).save(file, format='PNG')

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        row = {name: without_nan(value) for name, value in value_dict.items()}
        text = dump(row, file_format=file_format) + '\n'
        append(file_path if self.folder is None else Path(file_path).name, text.encode(), self.folder)


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
