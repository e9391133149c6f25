"""Removes the files of an earlier run once the new one is ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flsl_mm.utils.work_folder import remove


class ReplaceHook(Hook):
    """Removes files when training starts: a start that fails, for a wrong option or missing data, keeps them.

    Args:
        files: What :func:`~flsl_mm.utils.work_folder.earlier_files` found before the run was built.
    """

    # Before any hook that writes.
    priority = 'HIGHEST'

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def before_train(self, runner: Runner) -> None:
        """Remove them."""
        for path in self.files:
            if path.resolve() != Path(runner.log_dir).resolve():  # of another start in the same second
                remove(path)
