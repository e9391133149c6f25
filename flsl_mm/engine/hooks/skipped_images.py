"""Lists the image files that could not be used in the run's folder."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.datasets.images import read_skipped


@HOOKS.register_module()
class FLSLSkippedImagesHook(Hook):
    """Has :class:`~flsl_mm.datasets.FLSLImages` list skipped files in the work folder, and counts them at the end.

    Args:
        filename: Name of the list; each line is a path, a tab and the reason.
    """

    def __init__(self, filename: str = 'skipped_images.txt') -> None:
        self.filename = filename

    def before_train(self, runner: Runner) -> None:
        """Name the list, before loader workers start; data sets that skip nothing are left alone."""
        if hasattr(runner.train_dataloader.dataset, 'skipped_log'):
            runner.train_dataloader.dataset.skipped_log = Path(runner.work_dir) / self.filename

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Tell how many files were skipped since the beginning of the run, earlier parts of a resumed one included."""
        log = Path(runner.work_dir) / self.filename
        skipped = read_skipped(log)
        if skipped:
            total = len(runner.train_dataloader.dataset)
            runner.logger.warning(f'{len(skipped)} of {total} image files could not be used; they are listed in {log}')
