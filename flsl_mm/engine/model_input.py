"""Checking that a model's data preprocessor gives the backbone the images that it was trained on."""

from __future__ import annotations

from torch import nn

from flsl_mm.models import PatchBackbone
from flsl_mm.models.input_check import input_mismatch, rounded


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
