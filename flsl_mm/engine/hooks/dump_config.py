"""Writes a run's config into the work folder once the run can start."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class FLSLDumpConfigHook(Hook):
    """Writes the config after weights were loaded and all checks passed; a start that fails leaves the former one.

    MMEngine's Runner writes it when it is built, over the one with which a run that cannot be resumed could be.
    """

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Write it."""
        runner.dump_config()

    def before_test(self, runner: Runner) -> None:
        """Write it."""
        runner.dump_config()
