"""When the checks of a detector or segmentor are done: before training, validation and testing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from .model_input import check_model_input


class ModelCheckHook(Hook):
    """Stops a model that does not fit its data before it runs; subclasses say what else than colors is checked.

    See :func:`~flsl_mm.engine.model_input.check_model_input`.

    Args:
        allow_other_input: Whether the backbone may get images of another normalization or channel order than those
            that it was trained on.
    """

    def __init__(self, allow_other_input: bool = False) -> None:
        self.allow_other_input = allow_other_input

    def before_train(self, runner) -> None:
        """Check the model against the training data, and the validation data rather now than after an epoch."""
        self._check(runner, runner.train_dataloader)
        if runner.val_loop is not None:
            self._check(runner, runner.val_dataloader)

    def before_val(self, runner) -> None:
        """Check the model against the validation data."""
        self._check(runner, runner.val_dataloader)

    def before_test(self, runner) -> None:
        """Check the model against the test data."""
        self._check(runner, runner.test_dataloader)

    def check(self, model: nn.Module, settings: Any, metainfo: Mapping) -> None:
        """Check a model.

        Args:
            model: The model, without wrapper.
            settings: ``model`` of the run's config.
            metainfo: ``metainfo`` of the data.

        Raises:
            ValueError: If it does not fit.
        """
        raise NotImplementedError

    def _check(self, runner, dataloader) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not self.allow_other_input:
            check_model_input(model, insist=f'allow_other_input=True of {type(self).__name__}')
        self.check(model, runner.cfg.get('model'), dataloader.dataset.metainfo)
