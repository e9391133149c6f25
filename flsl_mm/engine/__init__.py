"""Training beside the method: loop, schedules, hooks, optimiser, resuming; imports models, checkpoint and datasets."""

from . import hooks, optim
from .atomic_backend import FLSLAtomicBackend
from .train_loop import FLSLEpochTrainLoop
from .vis_backend import FLSLVisBackend

__all__ = ['FLSLAtomicBackend', 'FLSLEpochTrainLoop', 'FLSLVisBackend', 'hooks', 'optim']
