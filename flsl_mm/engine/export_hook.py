"""Writes the teacher's backbone alone beside every checkpoint."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..checkpoint import backbone_file, write_checkpoint
from .schedule_hooks import training_model


@HOOKS.register_module()
class FLSLBackboneExportHook(Hook):
    """Writes ``<checkpoint>_backbone.pth``: the teacher's backbone under plain keys, with metadata.

    It follows MMEngine's ``CheckpointHook`` (hence the lowest priority), and removes the backbone file of a checkpoint
    that ``max_keep_ckpts`` removed.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.exported: dict[Path, Path] = {}

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
        if 'last_ckpt' not in runner.message_hub.runtime_info:
            return
        checkpoint = Path(runner.message_hub.get_info('last_ckpt'))
        if checkpoint in self.exported or not checkpoint.is_file():
            return
        model = training_model(runner)
        target = checkpoint.with_name(f'{checkpoint.stem}_backbone.pth')
        mean, std = (getattr(model.data_preprocessor, name).flatten().tolist() for name in ('mean', 'std'))
        contents = backbone_file(model.teacher.backbone, mean=mean, std=std)
        write_checkpoint(contents, target)
        self.exported[checkpoint] = target
        runner.message_hub.update_info('last_backbone', str(target))
        for kept, exported in list(self.exported.items()):
            if not kept.is_file():
                exported.unlink(missing_ok=True)
                del self.exported[kept]
