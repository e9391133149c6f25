"""Training beside the method: loop, hooks, optimizer, resuming; imports models, checkpoint, datasets, evaluation."""

from . import hooks, optim
from .atomic_backend import FLSLAtomicBackend
from .log_processor import FLSLLogProcessor
from .runner import FLSLRunner
from .train_loop import FLSLEpochTrainLoop
from .vis_backend import FLSLVisBackend

__all__ = [
    'FLSLAtomicBackend',
    'FLSLEpochTrainLoop',
    'FLSLLogProcessor',
    'FLSLRunner',
    'FLSLVisBackend',
    'hooks',
    'optim',
]
