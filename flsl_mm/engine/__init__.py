"""Training beside the method: loop, hooks, optimiser, resuming; imports models, checkpoint, datasets, evaluation."""

from . import hooks, optim
from .atomic_backend import FLSLAtomicBackend
from .train_loop import FLSLEpochTrainLoop
from .vis_backend import FLSLVisBackend

__all__ = ['FLSLAtomicBackend', 'FLSLEpochTrainLoop', 'FLSLVisBackend', 'hooks', 'optim']
