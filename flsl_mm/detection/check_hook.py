"""Checks of a detector before it runs: strides of its feature maps, and class names against its heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import nn

PROBE_SIZE = 256
"""Side in pixels of the blank picture that measures strides; the coarsest usual map, stride 128, is 2x2 on it."""


@torch.no_grad()
def measure_strides(model: nn.Module) -> tuple[int, ...]:
    """Run a blank picture through a detector's backbone and necks and compare sizes.

    Args:
        model: An mmdet detector, with ``extract_feat``.

    Returns:
        Image pixels per feature pixel of each map that reaches the heads.
    """
    parameter = next(model.parameters())
    training = model.training
    model.eval()
    try:
        maps = model.extract_feat(parameter.new_zeros(1, 3, PROBE_SIZE, PROBE_SIZE))
    finally:
        model.train(training)
    return tuple(PROBE_SIZE // features.shape[-1] for features in maps)


def expected_strides(model: nn.Module) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """Yield what a detector's heads assume of the maps' strides.

    Yields:
        Name of the module, the strides it assumes, and whether it reads every map (anchor and point generators) or the
        first ones only (RoI extractors).
    """
    for name, module in model.named_modules():
        generator = getattr(module, 'prior_generator', None)
        if generator is not None:
            strides = (stride if isinstance(stride, int) else stride[0] for stride in generator.strides)
            yield f'{name}.prior_generator', tuple(strides), True
        if hasattr(module, 'featmap_strides'):
            yield name, tuple(module.featmap_strides), False


def check_strides(model: nn.Module) -> None:
    """Compare the strides of a detector's feature maps with those that its heads assume.

    Args:
        model: An mmdet detector.

    Raises:
        ValueError: If they differ; boxes would be decoded at the wrong places, silently.
    """
    expected = list(expected_strides(model))
    if not expected:
        return
    measured = measure_strides(model)
    for name, strides, reads_all in expected:
        if 'semantic_' in name:  # of HTC and SCNet: it reads one map, fused at the stride of any of the levels
            fits = set(strides) <= set(measured)
        else:
            fits = strides == (measured if reads_all else measured[: len(strides)])
        if not fits:
            raise ValueError(
                f'{name} assumes feature maps of strides {list(strides)}, the necks deliver {list(measured)}: adapt '
                'its strides, or the patch_size of FLSLViTPyramid and the levels of the neck after it'
            )


def check_num_classes(model: nn.Module, classes: Sequence[str], thing_classes: Sequence[str] | None = None) -> None:
    """Compare the number of class names with ``num_classes`` of each box and mask head.

    Args:
        model: An mmdet detector.
        classes: Class names of the data set, from its ``metainfo``.
        thing_classes: Those of countable objects in a panoptic data set, which its box and mask heads tell apart; None
            stands for all.

    Raises:
        ValueError: If a head was built for another number.
    """
    for name, module in model.named_modules():
        num_classes = getattr(module, 'num_classes', None)
        # The region proposal head tells objects from background whatever the classes; so do class-agnostic mask heads.
        ignores_classes = 'rpn_head' in name.split('.') or getattr(module, 'class_agnostic', False)
        is_semantic = 'semantic_' in name  # a branch with classes of its own
        if 'head' not in name or not isinstance(num_classes, int) or ignores_classes or is_semantic:
            continue
        tells_all = thing_classes is None or hasattr(module, 'num_things_classes')
        expected = list(classes if tells_all else thing_classes)
        if num_classes != len(expected):
            raise ValueError(
                f'{name} has num_classes={num_classes}, the data set lists {len(expected)} categories '
                f'({", ".join(expected[:5])}{", ..." if len(expected) > 5 else ""}): make them agree'
            )


@HOOKS.register_module()
class FLSLDetectionCheckHook(Hook):
    """Stops a detector before training, validation or testing when its strides or classes do not fit.

    See :func:`check_strides` and :func:`check_num_classes`; a data set without class names is not checked.
    """

    def before_train(self, runner) -> None:
        """Check the model against the training data."""
        self._check(runner.model, runner.train_dataloader)
        # Validation within training is checked now rather than after the first epoch.
        if runner.val_loop is not None:
            self._check(runner.model, runner.val_dataloader)

    def before_val(self, runner) -> None:
        """Check the model against the validation data."""
        self._check(runner.model, runner.val_dataloader)

    def before_test(self, runner) -> None:
        """Check the model against the test data."""
        self._check(runner.model, runner.test_dataloader)

    def _check(self, model: nn.Module, dataloader) -> None:
        model = model.module if is_model_wrapper(model) else model
        check_strides(model)
        metainfo = dataloader.dataset.metainfo
        if metainfo.get('classes') is not None:
            check_num_classes(model, metainfo['classes'], metainfo.get('thing_classes'))
