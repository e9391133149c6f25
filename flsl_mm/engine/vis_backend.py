"""Where logged numbers go: the file ``scalars.json``, valid JSON whatever is logged, and viewers of curves."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend

VIEWERS = dict(tensorboard='TensorboardVisBackend', wandb='WandbVisBackend')
"""MMEngine's backends by the name of the package that each needs, which is also that of our extra."""


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
