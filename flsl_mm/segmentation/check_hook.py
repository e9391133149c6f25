"""Checks of a segmentor before it runs: colors, and feature maps and class names against its heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.registry import HOOKS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from flsl_mm.engine.model_check import PROBE_SIZE, ModelCheckHook, blank_maps, check_names


def heads_of(model: nn.Module) -> Iterator[tuple[str, BaseDecodeHead]]:
    """Yield the decode and auxiliary heads of a segmentor with their names."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, BaseDecodeHead))


def check_maps(model: nn.Module) -> None:
    """Compare the feature maps of a segmentor with what its heads read: channels, and strides where a head says them.

    Args:
        model: A segmentor of mmseg.

    Raises:
        ValueError: If a head reads a map that is not there, or of another width or stride.
    """
    maps = blank_maps(model)
    for name, head in heads_of(model):
        several = isinstance(head.in_index, Sequence)
        indices = list(head.in_index) if several else [head.in_index]
        channels = list(head.in_channels) if several else [head.in_channels]
        if any(not -len(maps) <= index < len(maps) for index in indices):
            raise ValueError(
                f'{name} reads the maps {indices} of {len(maps)}: set model.{name}.in_index, or out_indices of the '
                'backbone'
            )
        delivered = [maps[index].shape[1] for index in indices]
        # mmseg's heads may read several maps as one, concatenated: then in_channels is their sum.
        if head.input_transform != 'resize_concat' and channels != delivered:
            raise ValueError(
                f'{name} takes maps of in_channels={channels}, backbone and necks deliver {delivered}: set '
                f'model.{name}.in_channels'
            )
        strides = [PROBE_SIZE // maps[index].shape[-1] for index in indices]
        assumed = list(getattr(head, 'feature_strides', strides))
        if assumed != strides:
            raise ValueError(
                f'{name} assumes feature_strides={assumed}, backbone and necks deliver {strides}: make them agree '
                '(FLSLViTPyramid brings maps of one stride to a pyramid; stride=16 of TimmViT makes maps of 16)'
            )


def check_num_classes(model: nn.Module, classes: Sequence[str]) -> None:
    """Compare the number of class names with ``num_classes`` of each head.

    Raises:
        ValueError: If a head was built for another number, or the names are one string.
    """
    check_names(classes)
    for name, head in heads_of(model):
        if head.num_classes != len(classes):
            raise ValueError(
                f'{name} has num_classes={head.num_classes}, the data set lists {len(classes)} classes '
                f'({", ".join(classes[:5])}{", ..." if len(classes) > 5 else ""}): make them agree'
            )


@HOOKS.register_module()
class FLSLSegmentationCheckHook(ModelCheckHook):
    """Stops a segmentor before training, validation or testing when its colors, maps or classes do not fit.

    See :func:`check_maps` and :func:`check_num_classes`. Arguments are those of
    :class:`~flsl_mm.engine.model_check.ModelCheckHook`.
    """

    def check(self, model: nn.Module, settings: Any, metainfo: Mapping) -> None:
        """Check maps and class names."""
        check_maps(model)
        check_num_classes(model, metainfo['classes'])
