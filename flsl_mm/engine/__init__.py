"""Training beside the method: loop, hooks, optimizer, resuming; imports models, checkpoint, datasets, evaluation."""

from . import hooks, optim
from .backends import FLSLAtomicBackend, FLSLVisBackend
from .log_processor import FLSLLogProcessor
from .runner import FLSLRunner
from .schedules import FLSLWarmupCosineLR
from .train_loop import FLSLEpochTrainLoop

__all__ = [
    'FLSLAtomicBackend',
    'FLSLEpochTrainLoop',
    'FLSLLogProcessor',
    'FLSLRunner',
    'FLSLVisBackend',
    'FLSLWarmupCosineLR',
    'hooks',
    'optim',
]
