"""Checks of a detector or segmentor before it runs: input colors, class names, and feature maps of a blank image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from flsl_mm.models import PatchBackbone
from flsl_mm.models.input_check import input_mismatch, rounded
from flsl_mm.utils.mm import unwrap

PROBE_SIZE = 256
"""Side in pixels of the blank image that measures strides; the coarsest usual map, stride 128, is 2x2 on it."""


class ModelCheckHook(Hook):
    """Stops a model that does not fit its data before it runs; subclasses say what else than colors is checked.

    See :func:`check_model_input`.

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
        model = unwrap(runner.model)
        if not self.allow_other_input:
            check_model_input(model, insist=f'allow_other_input=True of {type(self).__name__}')
        self.check(model, runner.cfg.get('model'), dataloader.dataset.metainfo)


def check_model_input(model: nn.Module, insist: str) -> None:
    """Compare mean, std and channel order of a data preprocessor with those that the backbone's file records.

    OpenMMLab's pipelines read images as BGR with values 0 to 255; what the preprocessor makes of them is what counts.

    Args:
        model: Model of mmdet, mmseg or mmpretrain with an :class:`~flsl_mm.models.PatchBackbone`, which knows what it
            was loaded from; others are not checked.
        insist: Option that switches this check off, for the message.

    Raises:
        ValueError: If they differ: nothing else would tell, and the features of such images are worth little.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    flips = [getattr(preprocessor, name, None) for name in ('_channel_conversion', 'channel_conversion')]
    if flips == [None, None]:
        return
    for backbone in model.modules():
        if isinstance(backbone, PatchBackbone) and backbone.spec.mean is not None and backbone.spec.std is not None:
            channels = len(backbone.spec.mean)
            mean, std = ([value] * channels for value in (0.0, 1 / 255))
            if getattr(preprocessor, '_enable_normalize', True):
                mean, std = (
                    (getattr(preprocessor, name).flatten().expand(channels) / 255).tolist() for name in ('mean', 'std')
                )
            mismatch = input_mismatch(backbone.spec, mean, std, bgr=not any(flips))
            if mismatch:
                raise ValueError(
                    f'{mismatch}: set mean={rounded(backbone.spec.mean, 255)}, std={rounded(backbone.spec.std, 255)}, '
                    f'bgr_to_rgb=True in model.data_preprocessor, or {insist} to continue'
                )


@torch.no_grad()
def blank_maps(model: nn.Module) -> tuple[Tensor, ...]:
    """Run a blank image through backbone and necks.

    Args:
        model: A model of mmdet or mmseg, with ``extract_feat``.

    Returns:
        The maps (1, C_i, h_i, w_i) that reach the heads.

    Raises:
        ValueError: If the backbone's maps are not what the necks take.
    """
    parameter = next(model.parameters())
    training = model.training
    model.eval()
    try:
        return tuple(model.extract_feat(parameter.new_zeros(1, 3, PROBE_SIZE, PROBE_SIZE)))
    except (RuntimeError, AssertionError) as error:
        detail = f' ({str(error).splitlines()[0]})' if str(error) else ''
        raise ValueError(
            f'a blank image does not get through backbone and necks{detail}: each neck takes one map for each entry '
            'of its in_channels, as many as out_indices of the backbone, and with as many channels'
        ) from error
    finally:
        model.train(training)


def measure_strides(model: nn.Module) -> tuple[int, ...]:
    """Return the image pixels per feature pixel of each map of :func:`blank_maps`."""
    return tuple(PROBE_SIZE // features.shape[-1] for features in blank_maps(model))


def check_names(classes: Sequence[str] | str) -> None:
    """Check that class names are a list: Python takes a string for one of letters.

    Raises:
        ValueError: If they are one string.
    """
    if isinstance(classes, str):
        raise ValueError(
            f'metainfo has classes={classes!r}, one string: write classes=({classes!r},), or the path of a file with '
            'a name on each line'
        )
