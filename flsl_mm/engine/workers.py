"""Data loader workers that ignore SIGTERM and Ctrl-C, which reach every process of a job, and end with the run."""

from __future__ import annotations

import signal
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def protect_workers(loader: DataLoader) -> None:
    """Have the workers that a loader starts ignore the signals: they bring images until :func:`end_workers`.

    A training process that saves a checkpoint on SIGTERM must not fail before that, because a worker died of it.
    """
    loader.started = weakref.WeakSet()
    loader.worker_init_fn = partial(ignore_signals, loader.worker_init_fn)
    # A loader that held itself would keep its data set, and the files that this has open, until the next collection.
    loader._get_iterator = partial(start_workers, weakref.ref(loader))


def start_workers(reference: Callable[[], DataLoader]) -> Any:
    """Start workers with the signals blocked, until they ignore them; returns the loader's iterator and notes it."""
    loader = reference()
    blocks = hasattr(signal, 'pthread_sigmask')  # not on Windows
    if blocks:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        iterator = type(loader)._get_iterator(loader)
    finally:
        if blocks:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if hasattr(iterator, '_workers'):
        loader.started.add(iterator)
        for worker in iterator._workers:
            # Torch ends a worker that hangs with SIGTERM, which it ignores.
            worker._popen.terminate = worker._popen.kill
    return iterator


def ignore_signals(then: Callable[[int], None] | None, worker_id: int) -> None:
    """Ignore the signals in a worker; ``then`` is the loader's own ``worker_init_fn``."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    if then is not None:
        then(worker_id)


def end_workers(loader: DataLoader) -> None:
    """End a loader's workers, one that hangs after five seconds."""
    for iterator in list(getattr(loader, 'started', ())):
        iterator._shutdown_workers()
    loader._iterator = None  # of persistent workers; the next one starts new ones
