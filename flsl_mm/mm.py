"""The only door to mmengine for models and checkpoints: base class, registry and log, or plain stand-ins without it.

What lies behind it works in an environment with torch and timm alone (a detectron2 project, a notebook).
"""

from __future__ import annotations

import logging
from typing import Any

try:
    from mmengine.logging import print_log
    from mmengine.model import BaseModule
    from mmengine.registry import MODELS
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition('.')[0] != 'mmengine':
        raise
    from torch import nn

    def print_log(message: str, logger: str | None = None, level: int = logging.INFO) -> None:
        """Log through Python's own logging, under this package's name."""
        logging.getLogger('flsl_mm').log(level, message)

    class BaseModule(nn.Module):
        """``nn.Module`` with the two members of MMEngine's class of that name on which this package builds."""

        def __init__(self, init_cfg: Any = None) -> None:
            super().__init__()
            self.init_cfg = init_cfg
            self._is_init = False

        def init_weights(self) -> None:
            """Keep the initialisation of the constructor."""
            self._is_init = True

    class _Registry:
        """Takes registrations and does nothing with them: there is no config to build from."""

        def register_module(self, *args: Any, **kwargs: Any) -> Any:
            """Return a decorator that leaves its class as it is."""
            return lambda registered: registered

    MODELS = _Registry()

__all__ = ['MODELS', 'BaseModule', 'print_log']
