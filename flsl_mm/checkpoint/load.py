"""Load a backbone from a file: every weight, or an error."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from flsl_mm.models.pos_embed import resize_pos_embed
from flsl_mm.models.spec import BackboneSpec
from flsl_mm.models.timm_vit import TimmViT
from flsl_mm.models.vit import FLSLViT
from flsl_mm.utils.fileio import printable
from flsl_mm.utils.mm import WEIGHT_INITIALIZERS, print_log

from .files import CheckpointError, read_checkpoint
from .find import FoundBackbone, check_tensors, find_backbone, format_differences
from .timm_weights import load_timm, timm_tensors


def load_backbone(
    backbone: FLSLViT | TimmViT,
    checkpoint: str | os.PathLike | Mapping,
    branch: str = 'teacher',
    source: str = 'the checkpoint',
    logger: logging.Logger | str = 'current',
) -> str:
    """Load every tensor of a backbone, or none and raise; say in one logged line what was loaded.

    Args:
        backbone: Receives the weights, and in its ``spec`` the normalization that the file records. A position table of
            another grid is resized in the backbone's own mode.
        checkpoint: File, or what :func:`read_checkpoint` returned.
        branch: ``'teacher'`` or ``'student'``, where the checkpoint has both.
        source: What messages call a checkpoint that was read already; a file is called by its path.
        logger: Where the line goes, by default to MMEngine's logger.

    Returns:
        The line.

    Raises:
        CheckpointError: If a tensor is missing, has another shape or has no place, or if the file says that heads,
            patch size or kind of positions are not the backbone's; or if a number is NaN or infinite; or as of
            :func:`~flsl_mm.checkpoint.timm_weights.timm_tensors`.
        FileNotFoundError: If there is no such file.
    """
    if not isinstance(checkpoint, Mapping):
        source, checkpoint = os.fspath(checkpoint), read_checkpoint(checkpoint)
    if isinstance(backbone, TimmViT):
        return load_timm(backbone, checkpoint, branch, source)
    spec = backbone.spec
    try:
        found = find_backbone(checkpoint, branch)
        _check_spec(found.spec, spec)
        check_tensors(found.tensors, backbone.state_dict())
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from None
    table = found.tensors['pos_embed'].float()
    positions = resize_pos_embed(table, found.spec.grid_hw, spec.grid_hw, spec.pos_resize)
    backbone.load_state_dict({**found.tensors, 'pos_embed': positions})
    backbone.spec = spec.with_input_of(found.spec)
    line = _report(found, spec, source)
    print_log(line, logger)
    return line


@WEIGHT_INITIALIZERS.register_module()
class FLSLPretrained:
    """MMEngine's way to :func:`load_backbone`, where ``init_cfg=dict(type='Pretrained', ...)`` of a backbone leads."""

    def __init__(self, checkpoint: str | os.PathLike, branch: str = 'teacher') -> None:
        self.checkpoint, self.branch = checkpoint, branch

    def __call__(self, backbone: FLSLViT | TimmViT) -> None:
        """Load the weights."""
        load_backbone(backbone, self.checkpoint, self.branch)


def check_backbone_file(backbone: nn.Module, checkpoint: str | os.PathLike, branch: str = 'teacher') -> None:
    """Read a file that a backbone is going to be loaded from, before anything that takes long.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it holds no backbone; of timm's, if it does not fit.
    """
    content = read_checkpoint(checkpoint)
    if isinstance(backbone, TimmViT):
        timm_tensors(backbone, content, branch, os.fspath(checkpoint))
    else:
        find_backbone(content, branch)


def _check_spec(in_file: BackboneSpec, configured: BackboneSpec) -> None:
    """Raise if the file's backbone is another; a backbone keeps its own grid of positions and way of resizing them."""
    differing = in_file.differences(replace(configured.with_input_of(None), img_size=None, pos_resize=None))
    if differing:
        wanted = ', '.join(f'{name}={differing[name][0]!r}' for name in ('pos_embed', 'pos_scale') if name in differing)
        advice = f'; set {wanted} in the backbone to keep the positions of the file' if wanted else ''
        raise CheckpointError(
            f'the file does not fit the configured backbone: {format_differences(differing, "file", "config")}{advice}'
        )


def _report(found: FoundBackbone, configured: BackboneSpec, source: str) -> str:
    """Describe what was loaded and what deserves attention."""
    count = len(found.tensors)
    parts = [f'loaded {count}/{count} backbone tensors from {printable(source)} ({found.layout})']
    if found.ignored:
        names = (f'{name} ({number})' if name.endswith('*') else name for name, number in found.ignored.items())
        parts.append(f'ignored {", ".join(names)}')
    grids = dict.fromkeys('{}x{}'.format(*spec.grid_hw) for spec in (found.spec, configured))
    scale = f' of scale {found.spec.pos_scale:g}' if found.spec.pos_scale not in (None, 1.0) else ''
    parts.append(f'positions {" -> ".join(grids)}{scale}')
    if found.spec.num_heads is None:
        parts.append(f'heads not recorded in the file, {configured.num_heads} as configured')
    if found.spec.pos_resize not in (None, configured.pos_resize):
        parts.append(f'position resize {found.spec.pos_resize!r} in the file, {configured.pos_resize!r} as configured')
    return '; '.join(parts)
