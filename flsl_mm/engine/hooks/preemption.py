"""On SIGTERM or Ctrl-C, save a checkpoint and exit, with code 75 or 130."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
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
from ..workers import SIGNALS
from .checkpoint import ATOMIC, checkpoint_folder, export_backbone, is_state_finite

EXIT_CODE = 75
"""After SIGTERM: ``EX_TEMPFAIL`` of sysexits.h, a temporary failure, try again."""

REPEATED = 1.0
"""Seconds after Ctrl-C within which another one is the same: terminal and launcher both send it to a process."""


@HOOKS.register_module()
class FLSLPreemptionHook(Hook):
    """Saves a checkpoint after the iteration under way on SIGTERM and on Ctrl-C, and ends the run.

    SIGTERM is what clusters send before they take a machine back; the exit code is 75. After Ctrl-C it is 130.

    The processes of a job agree on the iteration, whichever of them got the signal; where several accumulate
    gradients, it is that of the next optimizer step. The checkpoint is the regular one of that iteration, or else
    ``preempted_iter_<N>.pth``, which continues inside the epoch (:class:`~flsl_mm.engine.FLSLEpochTrainLoop`), and
    which the next regular checkpoint of :class:`~flsl_mm.engine.FLSLCheckpointHook` replaces. A run that has
    nothing left to do ends as always. After Ctrl-C or a second SIGTERM, the only process of a job leaves without the
    next batch, which may never come: at once where it waits for one, or else after the iteration under way. A second
    Ctrl-C stops without a checkpoint and says how many steps are lost. With :class:`~flsl_mm.engine.FLSLRunner`, loader
    workers ignore both signals, which cluster and terminal may send to every process.
    """

    # After the learning-rate schedules and the logger.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.requested = 0
        """Number of the signal that was received, of this process or another one of the job."""
        self.requested_at = 0.0
        self.urgent = False
        self.saved = False
        self.previous_handlers: dict[int, Any] = {}
        self.complete: int | None = None
        """Iterations that are done, while the run waits for a batch."""

    def before_train(self, runner: Runner) -> None:
        """Take over the signals; they reach the main thread only, elsewhere this hook does nothing."""
        if threading.current_thread() is threading.main_thread():
            # A handler outlives the run, and must not keep the Runner and its processes' connections.
            handler = partial(self._request, weakref.ref(runner))
            for signum in SIGNALS:
                # A shell has its background jobs ignore Ctrl-C.
                if signum == signal.SIGTERM or signal.getsignal(signum) is not signal.SIG_IGN:
                    self.previous_handlers[signum] = signal.signal(signum, handler)

    def _request(self, reference: Callable[[], Runner | None], signum: int, frame) -> None:
        runner, repeated = reference(), bool(self.requested)
        if runner is None:
            self._restore_handlers()
            signal.raise_signal(signum)
            return
        if signum == signal.SIGINT and repeated:
            if time.monotonic() - self.requested_at > REPEATED:
                self._restore_handlers()
                raise KeyboardInterrupt(lost_line(runner))
            return
        self.requested, self.requested_at = max(signum, self.requested), time.monotonic()
        self.urgent = repeated or signum == signal.SIGINT
        # Nothing is half done while a run waits for a batch, which a hanging disk may keep it from for ever.
        if self.urgent and runner.world_size == 1 and self.complete == runner.iter:
            self.complete = None
            self._save_and_exit(runner, runner.iter)
        if signum == signal.SIGINT:
            with suppress(OSError):  # nobody may be listening; print is not safe in a handler
                os.write(2, b'\nsaving a checkpoint after this step; Ctrl-C again stops without it\n')

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Write the checkpoint if any process of the job got a signal."""
        flag = torch.tensor(float(self.requested))
        all_reduce(flag, op='max')
        # One process's checkpoint holds no accumulated gradients of others: these wait for the step under way.
        complete = runner.world_size == 1 or runner.optim_wrapper.should_update()
        if flag and complete and not self.saved:
            self.requested = int(flag)
            if self.urgent and runner.world_size == 1:
                self._save_and_exit(runner, runner.iter + 1)
            save_now(runner, runner.iter + 1)
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

    def after_train(self, runner: Runner) -> None:
        """Restore the previous handlers."""
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for signum, handler in self.previous_handlers.items():
            signal.signal(signum, handler)

    def _save_and_exit(self, runner: Runner, iteration: int) -> None:
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
        line = f'stopped after iteration {iteration} with the checkpoint {checkpoint}; --resume continues from there'
        self._restore_handlers()
        if self.requested == signal.SIGINT:
            raise KeyboardInterrupt(line)
        runner.logger.warning(f'SIGTERM: {line} (exit code {EXIT_CODE})')
        raise SystemExit(EXIT_CODE)


def save_now(runner: Runner, iteration: int) -> None:
    """Write checkpoint and backbone file after ``iteration`` iterations.

    Nothing is written where the regular checkpoint of that iteration is there, or weights are not finite.
    """
    folder = checkpoint_folder(runner)
    newest = runner.message_hub.get_info('last_ckpt')
    if newest and iterations_done(Path(newest), len(runner.train_dataloader)) == iteration:
        return
    if not is_state_finite(runner):
        return
    path = folder / f'preempted_iter_{iteration}.pth'
    runner.message_hub.update_info('last_ckpt', str(path))
    earlier = runner.message_hub.get_info('preempted', [])
    runner.message_hub.update_info('preempted', [*earlier, path.name])
    meta = dict(epoch=runner.epoch, iter=iteration)
    runner.save_checkpoint(str(folder), path.name, meta=meta, by_epoch=False, backend_args=ATOMIC)
    if is_main_process():
        write_text(Path(runner.work_dir) / 'last_checkpoint', str(path))
    export_backbone(runner)


def lost_line(runner: Runner) -> str:
    """Tell how many steps a run that stops now loses."""
    newest = runner.message_hub.get_info('last_ckpt')
    saved = iterations_done(Path(newest), len(runner.train_dataloader)) if newest else 0
    lost = f'{runner.iter - saved} steps' if saved is not None else 'the steps'
    return f'stopped without a checkpoint: {lost} since {newest or "the beginning"} are lost'
