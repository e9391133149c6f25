"""Checks of a detector before it runs: colors, and feature maps and class names against its heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.registry import HOOKS
from torch import nn

from flsl_mm.engine.model_check import ModelCheckHook, blank_maps, check_names, measure_strides


def check_channels(model: nn.Module, heads: Mapping[str, Any]) -> None:
    """Compare the channels of a detector's feature maps with those that a head lists, as Mask2Former's does.

    Args:
        model: An mmdet detector.
        heads: Its config: settings of parts by name.

    Raises:
        ValueError: If they differ.
    """
    for name, settings in heads.items():
        listed = settings.get('in_channels') if name.endswith('head') and isinstance(settings, Mapping) else None
        if isinstance(listed, (list, tuple)):
            channels = [features.shape[1] for features in blank_maps(model)]
            if list(listed) != channels:
                raise ValueError(
                    f'{name} takes maps of in_channels={list(listed)}, the necks deliver {channels}: set '
                    f'model.{name}.in_channels={channels}'
                )


def expected_strides(model: nn.Module) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield what a detector's heads assume of the maps' strides.

    Yields:
        Name of the module, the strides it assumes, and which maps it reads: ``'all'`` of them (anchor and point
        generators), the ``'first'`` ones (RoI extractors) or ``'any'`` (see :func:`check_strides`).
    """
    for name, module in model.named_modules():
        # Semantic branches of HTC and SCNet, and dynamic masks of CondInst and BoxInst: maps fused at one level's
        # stride.
        fused = 'semantic_' in name or 'mask_head' in name.split('.')
        generator = getattr(module, 'prior_generator', None)
        if generator is not None:
            strides = (stride if isinstance(stride, int) else stride[0] for stride in generator.strides)
            yield f'{name}.prior_generator', tuple(strides), 'any' if fused else 'all'
        if hasattr(module, 'featmap_strides'):
            yield name, tuple(module.featmap_strides), 'any' if fused else 'first'


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
    for name, strides, reads in expected:
        if reads == 'any':
            fits = set(strides) <= set(measured)
        else:
            fits = strides == (measured if reads == 'all' else measured[: len(strides)])
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
        ValueError: If a head was built for another number, or as of :func:`check_names`.
    """
    check_names(classes)
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
class FLSLDetectionCheckHook(ModelCheckHook):
    """Stops a detector before training, validation or testing when its colors, maps or classes do not fit.

    See :func:`check_strides`, :func:`check_channels` and :func:`check_num_classes`; a data set without class names is
    not checked. Arguments are those of :class:`~flsl_mm.engine.model_check.ModelCheckHook`.
    """

    def check(self, model: nn.Module, settings: Any, metainfo: Mapping) -> None:
        """Check maps and class names."""
        check_strides(model)
        if isinstance(settings, Mapping):
            check_channels(model, settings)
        if metainfo.get('classes') is not None:
            check_num_classes(model, metainfo['classes'], metainfo.get('thing_classes'))
