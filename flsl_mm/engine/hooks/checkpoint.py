"""Checkpoints: written atomically, the backbone file beside each, and resuming from the newest one that can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.checkpoint import backbone_file, write_checkpoint
from flsl_mm.checkpoint.integrity import DamagedError, check_finite
from flsl_mm.utils.fileio import remove_partial, write_text
from flsl_mm.utils.mm import unwrap
from flsl_mm.utils.work_folder import RUN_FILES

from ..resume import find_resumable, preempted_names
from .schedule import is_pretraining

ATOMIC = dict(backend='FLSLAtomicBackend')

SUFFIX = '_backbone.pth'
"""Ending of the backbone files beside checkpoints."""

WRITTEN = re.compile(rf'{RUN_FILES.pattern}|.+\.py')
"""Names of what a run writes, its config too."""


@HOOKS.register_module()
class FLSLCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` that is safe against what can go wrong; the arguments are the same.

    - A checkpoint is written atomically (:mod:`flsl_mm.utils.fileio`).
    - The oldest one is removed after the new one was written, not before.
    - Weights that are not finite are never written.
    - ``resume=True`` continues from the newest checkpoint that can be read, whatever ``last_checkpoint`` says.
    - Between the steps of an optimizer that accumulates gradients, the gradients are part of the checkpoint.
    - In pretraining, ``<checkpoint>_backbone.pth`` lies beside each one: the teacher's backbone under plain keys, with
      metadata.

    Raises:
        FloatingPointError: At the end of a run whose last weights are not finite.
    """

    def __init__(self, *args, backend_args: dict | None = None, **kwargs) -> None:
        super().__init__(*args, backend_args=backend_args or ATOMIC, **kwargs)
        self.refused = False

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint to resume from, the same on all processes, where none was named."""
        if not runner._resume or runner._load_from is not None or runner._train_loop is None:
            return
        chosen = [None]
        if is_main_process():
            folder = self.folder(runner)
            chosen = [find_resumable(folder, len(runner.train_dataloader), runner.logger.warning)]
            if chosen[0] is None:
                runner.logger.info(f'no checkpoint in {folder} to resume from: starting from the beginning')
        broadcast_object_list(chosen)
        runner._load_from = None if chosen[0] is None else str(chosen[0])
        runner._resume = chosen[0] is not None

    def before_train(self, runner: Runner) -> None:
        """Prepare as MMEngine's hook does, and remove what a killed run was about to write."""
        folder = self.folder(runner)
        restrict_to_own_files(runner, folder)
        steps = runner.message_hub.get_info('keep_ckpt_ids')
        if self.max_keep_ckpts > 0 and is_main_process():  # MMEngine would leave their backbone files
            remove_regular(folder, [self.filename_tmpl.format(step) for step in steps[: -self.max_keep_ckpts]])
        super().before_train(runner)
        if is_main_process():
            remove_partial(folder, WRITTEN)
            remove_regular(folder, runner.message_hub.get_info('outdated'))
        if runner.iter > 0:  # a run may have ended between its last checkpoint and the export's end
            export_backbone(runner)

    def folder(self, runner: Runner) -> Path:
        """Return the folder of the checkpoints, which is the work folder unless ``out_dir`` was set."""
        if self.out_dir is None or self.out_dir == runner.work_dir:
            return Path(runner.work_dir)
        name = Path(runner.work_dir).name
        # MMEngine appends the name before training.
        return Path(self.out_dir) if Path(self.out_dir).name == name else Path(self.out_dir) / name

    def after_train(self, runner: Runner) -> None:
        """Finish as MMEngine's hook does, unless the last checkpoint could not be written."""
        if self.refused:
            raise FloatingPointError(
                'the last weights are not finite and were not written: continue with --resume from '
                f'{runner.message_hub.get_info("last_ckpt") or "the beginning"}'
            )
        super().after_train(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if is_state_finite(runner):
            super()._save_best_checkpoint(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        # MMEngine's own removes the oldest first, and writes last_checkpoint through a link.
        self.refused = not is_state_finite(runner)
        if self.refused:
            return
        if self.max_keep_ckpts > 0 and list(self.keep_ckpt_ids)[-1:] != [step]:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                # The new checkpoint names what it replaces, so that a run that is killed in between removes it when it
                # resumes.
                outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                runner.message_hub.update_info('outdated', [outdated])
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        if hasattr(runner.optim_wrapper, 'average_accumulated_gradients'):
            # Only one process writes, so all of them go on with the mean that it keeps.
            runner.optim_wrapper.average_accumulated_gradients()
        folder, name = self.folder(runner), self.filename_tmpl.format(step)
        self.last_ckpt = str(folder / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        obsolete = [folder / name for name in preempted_names(runner.message_hub.get_info('preempted'))]
        runner.message_hub.update_info('preempted', [])
        if is_main_process():
            write_text(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt)
            for path in obsolete:
                remove_checkpoint(path)
            remove_regular(folder, runner.message_hub.get_info('outdated'))
        runner.message_hub.update_info('outdated', [])
        export_backbone(runner)


@master_only
def export_backbone(runner: Runner) -> None:
    """Write the backbone file of a pretraining's newest checkpoint."""
    model = unwrap(runner.model)
    checkpoint = Path(runner.message_hub.runtime_info.get('last_ckpt') or '')
    if not is_pretraining(model) or not checkpoint.is_file():
        return
    mean, std = (getattr(model.data_preprocessor, name).flatten().tolist() for name in ('mean', 'std'))
    target = checkpoint.with_name(checkpoint.stem + SUFFIX)
    value_range = getattr(runner.train_dataloader.dataset, 'value_range', None)
    write_checkpoint(backbone_file(model.teacher.backbone, mean, std, value_range), target)
    runner.message_hub.update_info('last_backbone', str(target))


def regular_names(names: Any) -> list[str]:
    """Keep names of regular checkpoints, without folders, of what a checkpoint holds, which can be anything."""
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and re.fullmatch(r'(epoch|iter)_\d+\.pth', name)]


def remove_regular(folder: Path, names: Any) -> None:
    """Remove regular checkpoints of a folder; what a file says is no such name is left alone."""
    for name in regular_names(names):
        remove_checkpoint(folder / name)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and the backbone file beside it; one whose checkpoint somebody has removed is kept."""
    if path.exists():
        path.with_name(path.stem + SUFFIX).unlink(missing_ok=True)  # first, so that a kill leaves nothing behind
        path.unlink()


def checkpoint_folder(runner: Runner) -> Path:
    """Return the folder of a run's checkpoints: that of its :class:`FLSLCheckpointHook`, or else the work folder."""
    folders = [hook.folder(runner) for hook in runner.hooks if isinstance(hook, FLSLCheckpointHook)]
    return folders[0] if folders else Path(runner.work_dir)


def is_state_finite(runner: Runner) -> bool:
    """Return to all processes whether weights and optimizer state are finite in the one that writes; warn if not."""
    finite = [True]
    if is_main_process():
        model = unwrap(runner.model)
        try:
            check_finite(dict(state_dict=model.state_dict(), optimizer=runner.optim_wrapper.state_dict()))
        except DamagedError as error:
            runner.logger.warning(f'no checkpoint is written after iteration {runner.iter + 1}: {error}')
            finite = [False]
    broadcast_object_list(finite)
    return finite[0]


def restrict_to_own_files(runner: Runner, folder: Path) -> None:
    """Have a run keep and remove checkpoints of its own folder alone, whatever the file that it resumed from names.

    A checkpoint only knows where it was written. If it lies in ``folder``, which may be a copy of the first run's, the
    files that it names do too; if not, the run starts with no files. Names that this hook does not give are dropped.

    Args:
        runner: The Runner, which may have resumed.
        folder: The folder of its checkpoints.
    """
    hub, resumed = runner.message_hub, runner._load_from if runner._resume else None
    here = resumed is not None and Path(resumed).resolve().parent == folder.resolve()
    hub.update_info('last_ckpt', str(folder / Path(resumed).name) if here else None)
    # 'best_ckpt', or with several metrics 'best_ckpt_<metric>'.
    for name in [name for name in hub.runtime_info if str(name).startswith('best_ckpt')]:
        best = hub.get_info(name)
        own = here and isinstance(best, str) and re.fullmatch(r'best_.+\.pth', Path(best).name)
        hub.update_info(name, str(folder / Path(best).name) if own else None)
    steps = hub.get_info('keep_ckpt_ids') if here else None
    whole = [step for step in steps if type(step) is int and step >= 0] if isinstance(steps, list) else []
    hub.update_info('keep_ckpt_ids', whole)
    hub.update_info('preempted', preempted_names(hub.get_info('preempted')) if here else [])
    hub.update_info('outdated', regular_names(hub.get_info('outdated')) if here else [])
