"""What reaches the heads of a detector or segmentor, found out with a blank image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PROBE_SIZE = 256
"""Side in pixels of the blank image that measures strides; the coarsest usual map, stride 128, is 2x2 on it."""


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
