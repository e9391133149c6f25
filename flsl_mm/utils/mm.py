"""Optional mmengine: its names, or minimal stand-ins where it is missing (for models, checkpoints and scenes).

The rooms that use it work in an environment with torch and timm alone (a detectron2 project, a notebook).
"""

from __future__ import annotations

import logging
from collections import namedtuple
from collections.abc import Callable
from typing import Any

try:
    from mmengine.dist import barrier, is_main_process
    from mmengine.logging import HistoryBuffer, print_log
    from mmengine.model import BaseModule, is_model_wrapper
    from mmengine.registry import DATASETS, MODELS, WEIGHT_INITIALIZERS
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition('.')[0] != 'mmengine':
        raise
    from torch import distributed, nn

    HistoryBuffer = namedtuple('HistoryBuffer', ('log_history', 'count_history', 'max_length'))
    """Numbers of a training log, as MMEngine's checkpoints keep them."""

    def print_log(message: str, logger: logging.Logger | str | None = None, level: int = logging.INFO) -> None:
        """Log through Python's own logging: the given logger, or the one of this package's name; not if 'silent'."""
        if logger == 'silent':
            return
        (logger if isinstance(logger, logging.Logger) else logging.getLogger('flsl_mm')).log(level, message)

    def is_main_process() -> bool:
        """Return whether this is the only process, or the first of torch's default group."""
        return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0

    def barrier() -> None:
        """Wait for the other processes of torch's default group, if there are any."""
        if distributed.is_available() and distributed.is_initialized():
            distributed.barrier()

    def is_model_wrapper(model: nn.Module) -> bool:
        """Return whether torch's own class wraps the model."""
        return isinstance(model, nn.parallel.DistributedDataParallel)

    class _Registry(dict):
        """Registered classes by name."""

        def register_module(self) -> Callable[[type], type]:
            """Return a decorator that notes a class and leaves it as it is."""
            return lambda registered: self.setdefault(registered.__name__, registered)

    DATASETS, MODELS, WEIGHT_INITIALIZERS = _Registry(), _Registry(), _Registry()

    class BaseModule(nn.Module):
        """``nn.Module`` with the two members of MMEngine's class of that name on which this package builds."""

        def __init__(self, init_cfg: Any = None) -> None:
            super().__init__()
            self.init_cfg = init_cfg
            self._is_init = False

        def init_weights(self) -> None:
            """Keep the initialization of the constructor, or load what ``init_cfg`` names.

            Raises:
                ValueError: If ``init_cfg`` is one of MMEngine's.
            """
            if self.init_cfg and not self._is_init:
                name = self.init_cfg['type'] if isinstance(self.init_cfg, dict) else None
                if name not in WEIGHT_INITIALIZERS:
                    raise ValueError(f"without MMEngine, init_cfg is of type 'Pretrained' only, got {self.init_cfg}")
                settings = {key: value for key, value in self.init_cfg.items() if key != 'type'}
                WEIGHT_INITIALIZERS[name](**settings)(self)
            self._is_init = True


def unwrap(model: Any) -> Any:
    """Return a model without its wrapper for distributed training."""
    return model.module if is_model_wrapper(model) else model


__all__ = [
    'DATASETS',
    'MODELS',
    'WEIGHT_INITIALIZERS',
    'BaseModule',
    'HistoryBuffer',
    'barrier',
    'is_main_process',
    'print_log',
    'unwrap',
]
