"""SIGTERM writes a checkpoint and ends the run with an exit code of its own."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.utils.fileio import write_text

from ..resume import iterations_done
from .checkpoint import ATOMIC, checkpoint_folder, export_backbone, is_state_finite

EXIT_CODE = 75
"""``EX_TEMPFAIL`` of sysexits.h: a temporary failure, try again."""
CAN_WAIT = hasattr(signal, 'sigwaitinfo')
"""Whether a process can learn who sent a signal (Linux)."""


@HOOKS.register_module()
class FLSLPreemptionHook(Hook):
    """Answers SIGTERM, with which clusters take machines back: checkpoint after this iteration, then exit code 75.

    The processes of a job agree on the iteration, whichever of them got the signal; where several accumulate
    gradients, it is that of the next optimizer step. The checkpoint is the regular one of that iteration, or else
    ``preempted_iter_<N>.pth``, which continues inside the epoch (:class:`~flsl_mm.engine.FLSLEpochTrainLoop`), and
    which the next regular checkpoint of :class:`~flsl_mm.engine.FLSLCheckpointHook` replaces. A run that has
    nothing left to do ends as always. At a second SIGTERM the only process of a job writes the checkpoint and leaves
    without the next batch, which may never come: at once where it waits for one, or else after the iteration under way.
    Loader workers live on until the training process ends them, since a cluster may signal every process of a job.
    """

    # After the learning-rate schedules and the logger, before the backbone's export.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.requested = False
        self.urgent = False
        self.saved = False
        self.previous_handler = None
        self.complete: int | None = None
        """Iterations that are done, while the run waits for a batch."""

    def before_train(self, runner: Runner) -> None:
        """Take over SIGTERM; signals reach the main thread only, elsewhere this hook does nothing."""
        if threading.current_thread() is threading.main_thread():
            # A handler outlives the run, and must not keep the Runner and its processes' connections.
            handler = partial(self._request, weakref.ref(runner))
            self.previous_handler = signal.signal(signal.SIGTERM, handler)
        if CAN_WAIT:
            loader = runner.train_dataloader
            loader.worker_init_fn = partial(exit_on_sigterm_of, os.getpid(), loader.worker_init_fn)
            loader._get_iterator = partial(start_with_sigterm_blocked, loader._get_iterator)

    def _request(self, reference: Callable[[], Runner | None], signum: int, frame) -> None:
        self.urgent, self.requested = self.requested, True
        runner = reference()
        # Nothing is half done while a run waits for a batch, which a hanging disk may keep it from for ever.
        if self.urgent and runner is not None and runner.world_size == 1 and self.complete == runner.iter:
            self.complete = None
            self._save_and_exit(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Write the checkpoint if any process of the job got the signal."""
        flag = torch.tensor(float(self.requested))
        all_reduce(flag, op='max')
        # One process's checkpoint holds no accumulated gradients of others: these wait for the step under way.
        complete = runner.world_size == 1 or runner.optim_wrapper.should_update()
        if flag and complete and not self.saved:
            if self.urgent and runner.world_size == 1:
                self._save_and_exit(runner, runner.iter + 1)
            if save_now(runner, runner.iter + 1):
                export_backbone(runner)
            self.saved = True
        # Other hooks follow; the loop counts the iteration when all are through. After an epoch more is to be written.
        self.complete = None if self.end_of_epoch(runner.train_dataloader, batch_idx) else runner.iter + 1

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Leave, once the checkpoint is written."""
        self.complete = None
        self._leave(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave, as before an iteration."""
        self._leave(runner)
        self.complete = runner.iter

    def before_val(self, runner: Runner) -> None:
        """Leave rather than spend the time until the machine goes on a validation."""
        self._leave(runner)

    def _save_and_exit(self, runner: Runner, iteration: int) -> None:
        """Leave without the next batch; the backbone file follows when the run is resumed."""
        save_now(runner, iteration)
        self.saved = True
        self._leave(runner, iteration)

    def _leave(self, runner: Runner, iteration: int | None = None) -> None:
        if not self.saved:
            return
        iteration = runner.iter if iteration is None else iteration
        # A process that left earlier would make the launcher end the one that writes checkpoint and backbone.
        barrier()
        checkpoint = runner.message_hub.get_info('last_ckpt') or 'of no iteration'
        runner.logger.warning(
            f'SIGTERM: stopped after iteration {iteration} with the checkpoint {checkpoint}; --resume continues from '
            f'there (exit code {EXIT_CODE})'
        )
        raise SystemExit(EXIT_CODE)

    def after_train(self, runner: Runner) -> None:
        """Restore the previous handler of SIGTERM."""
        if self.previous_handler is not None:
            signal.signal(signal.SIGTERM, self.previous_handler)


def save_now(runner: Runner, iteration: int) -> bool:
    """Write a checkpoint after ``iteration`` iterations, unless the regular one is there or weights are not finite.

    Returns:
        Whether it was written.
    """
    folder = checkpoint_folder(runner)
    newest = runner.message_hub.get_info('last_ckpt')
    if newest and iterations_done(Path(newest), len(runner.train_dataloader)) == iteration:
        return False
    if not is_state_finite(runner):
        return False
    path = folder / f'preempted_iter_{iteration}.pth'
    runner.message_hub.update_info('last_ckpt', str(path))
    earlier = runner.message_hub.get_info('preempted', [])
    runner.message_hub.update_info('preempted', [*earlier, path.name])
    meta = dict(epoch=runner.epoch, iter=iteration)
    runner.save_checkpoint(str(folder), path.name, meta=meta, by_epoch=False, backend_args=ATOMIC)
    if is_main_process():
        write_text(Path(runner.work_dir) / 'last_checkpoint', str(path))
    return True


def start_with_sigterm_blocked(start: Callable[[], Any]) -> Any:
    """Start a loader's workers with SIGTERM blocked, and block it no longer than that: a first batch may never come."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def exit_on_sigterm_of(trainer: int, then: Callable[[int], None] | None, worker_id: int) -> None:
    """End a loader worker on SIGTERM from the training process only; to be used as ``worker_init_fn``.

    The worker must have started with SIGTERM blocked, in all of its threads.

    Args:
        trainer: Process id of the training process.
        then: The ``worker_init_fn`` to call afterwards.
        worker_id: Number of the worker.
    """
    threading.Thread(target=_wait_for_sigterm_of, args=(trainer,), daemon=True).start()
    if then is not None:
        then(worker_id)


def _wait_for_sigterm_of(trainer: int) -> None:
    # A Python signal handler is not told who sent the signal, hence a thread that waits for it.
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != trainer:
        pass
    os._exit(0)
