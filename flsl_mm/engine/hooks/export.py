"""Writes the teacher's backbone alone beside every checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.checkpoint import backbone_file, write_checkpoint
from flsl_mm.utils.mm import unwrap

SUFFIX = '_backbone.pth'
OWN_NAMES = re.compile(r'(preempted_)?(epoch|iter)_\d+' + re.escape(SUFFIX))


@HOOKS.register_module()
class FLSLBackboneExportHook(Hook):
    """Writes ``<checkpoint>_backbone.pth``: the teacher's backbone under plain keys, with metadata.

    It follows the checkpoint hook (hence the lowest priority), and removes the backbone files of checkpoints that are
    gone, those of a run that this one continues included.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.exported: Path | None = None

    def before_train(self, runner: Runner) -> None:
        """Make up for a run that ended between its last checkpoint and the export's end."""
        if runner.iter > 0:
            self.export(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Export after a checkpoint that was written by iteration."""
        self.export(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Export after a checkpoint that was written by epoch."""
        self.export(runner)

    @master_only
    def export(self, runner: Runner) -> None:
        """Write the backbone file of the newest checkpoint unless it is there already."""
        checkpoint = Path(runner.message_hub.runtime_info.get('last_ckpt') or '')
        if checkpoint == self.exported or not checkpoint.is_file():
            return
        model = unwrap(runner.model)
        mean, std = (getattr(model.data_preprocessor, name).flatten().tolist() for name in ('mean', 'std'))
        target = checkpoint.with_name(checkpoint.stem + SUFFIX)
        write_checkpoint(backbone_file(model.teacher.backbone, mean=mean, std=std), target)
        self.exported = checkpoint
        runner.message_hub.update_info('last_backbone', str(target))
        for file in checkpoint.parent.glob('*' + SUFFIX):
            if OWN_NAMES.fullmatch(file.name) and not file.with_name(file.name.replace(SUFFIX, '.pth')).is_file():
                file.unlink()
