"""Find the backbone in a checkpoint, and what the file says about it (pure functions)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from flsl_mm.models.pos_embed import scale_of_sincos
from flsl_mm.models.spec import BackboneSpec

from .files import CheckpointError
from .integrity import misfit
from .layouts import ANCHOR, describe_unread_layout, open_layout

UNUSED = re.compile(r'(cls_token|dist_token|mask_token)$|(head|head_dist|fc|pre_logits)\.')
"""Tensors of a timm vision transformer that patch tokens do not depend on."""

BLOCK_TENSORS = 12
"""Tensors of a block."""

SPARE_NUMBERS, SPARE_TENSORS = 2**25, 1000
"""What a backbone that is built may have beyond what its file holds, 128 MB; what is missing is then named."""


@dataclass(frozen=True)
class FoundBackbone:
    """A backbone found in a checkpoint.

    Attributes:
        tensors: Tensors under timm's names, positions (1, h * w, C) without rows of class tokens.
        layout: Kind of checkpoint, for messages.
        spec: What the file says and its tensors tell.
        ignored: Number of tensors left out, by first part of their name.
    """

    tensors: dict[str, Tensor]
    layout: str
    spec: BackboneSpec
    ignored: Counter


def find_backbone(checkpoint: Mapping, branch: str = 'teacher') -> FoundBackbone:
    """Find a backbone in any of the layouts of ``docs/weights.md``.

    Args:
        checkpoint: Content of a checkpoint file.
        branch: ``'teacher'`` or ``'student'``, where the checkpoint has both.

    Raises:
        CheckpointError: If there is none, its position table does not belong to a square grid, or the file says
            something else about it than its tensors; or as of :func:`~flsl_mm.checkpoint.layouts.open_layout`.
        ValueError: If ``branch`` is unknown.
    """
    layout = open_layout(checkpoint, branch)
    state, prefix = layout.tensors, layout.prefix
    if prefix is None:
        raise CheckpointError(
            f'no vision transformer in the checkpoint: no tensor is called {ANCHOR}, bare or after backbone.; '
            f'it holds {shorten_names(state) or "no tensors"}{describe_unread_layout(state)}'
        )
    tensors, ignored = {}, Counter()
    for name, tensor in state.items():
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and not UNUSED.match(plain):
            tensors[plain] = tensor
        else:
            first, _, rest = (plain if name.startswith(prefix) else name).partition('.')
            ignored[f'{first}.*' if rest else first] += 1
    if 'pos_embed' in tensors:
        tensors['pos_embed'] = _patch_positions(tensors['pos_embed'])
    inferred = _spec_of_tensors(tensors)
    # Whether a table was learned can only be guessed from its values, so there the file's word counts.
    if contradictions := layout.declared.differences(replace(inferred, pos_embed=None, pos_scale=None)):
        raise CheckpointError(
            f'the file contradicts itself: {format_differences(contradictions, "metadata", "tensors")}'
        )
    spec = layout.declared.filled_from(inferred)
    check_size(spec, tensors)
    return FoundBackbone(tensors, layout.kind, spec, ignored)


def check_size(spec: BackboneSpec, tensors: Mapping[str, Tensor]) -> None:
    """Check, before a backbone is built, that a file has the numbers for it, or lacks few enough to be told by name.

    Raises:
        CheckpointError: If it is of a width, depth or grid that a few names and shapes alone make up.
    """
    width, depth = spec.embed_dim, spec.depth
    hidden = width * (4 if spec.mlp_ratio is None else spec.mlp_ratio)
    grid = ((spec.img_size or 0) // spec.patch_size) ** 2
    needed = depth * (4 * width * width + 2 * width * hidden) + grid * width
    held = sum(tensor.numel() for tensor in tensors.values())
    if needed > held + SPARE_NUMBERS or depth * BLOCK_TENSORS > len(tensors) + SPARE_TENSORS:
        raise CheckpointError(
            f'a backbone of width {width}, depth {depth} and a grid of {grid} patches has {needed:,.0f} numbers, and '
            f'the file holds {held:,}: most of its tensors are missing'
        )


def _patch_positions(table: Tensor) -> Tensor:
    """Cut the rows of class tokens off a position table."""
    rows = table.shape[1] if table.dim() == 3 else 0
    # Squares lie further apart than the number of class tokens, so their number follows from the number of rows.
    extra = next((extra for extra in (0, 1, 2) if rows > extra and isqrt(rows - extra) ** 2 == rows - extra), None)
    if extra is None:
        raise CheckpointError(f'the position table {tuple(table.shape)} is not a square grid of patches')
    return table[:, extra:].clone()


def _spec_of_tensors(tensors: Mapping[str, Tensor]) -> BackboneSpec:
    """Read what tensors in timm's naming tell: all but heads, position resizing and normalization."""
    shape = tuple(tensors[ANCHOR].shape)
    if len(shape) != 4 or not all(shape):
        raise CheckpointError(f'{ANCHOR} has shape {shape}, which embeds no image patches')
    embed_dim, in_channels, _, patch_size = shape
    blocks = {name.split('.')[1] for name in tensors if re.match(r'blocks\.\d+\.', name)}
    hidden, table = (tensors.get(name, torch.empty(0)) for name in ('blocks.0.mlp.fc1.weight', 'pos_embed'))
    spec = BackboneSpec(embed_dim=embed_dim, depth=len(blocks), patch_size=patch_size, in_channels=in_channels)
    if hidden.dim() == 2:
        spec = replace(spec, mlp_ratio=hidden.shape[0] / embed_dim)
    if table.dim() == 3:
        side = isqrt(table.shape[1])
        scale = scale_of_sincos(table, (side, side))
        kind = 'learned' if scale is None else 'sincos'
        spec = replace(spec, img_size=side * patch_size, pos_embed=kind, pos_scale=scale)
    return spec


def check_tensors(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    part: str = 'backbone',
    module: str = 'FLSLViT',
    positions_vary: bool = True,
) -> None:
    """Check that names, shapes and types are those of a module, and values finite.

    Args:
        found: Tensors of a file.
        wanted: State of the module.
        part: What messages call them.
        module: What messages call the module.
        positions_vary: Whether the number of positions may be another.

    Raises:
        CheckpointError: If a tensor is missing, has no place, or does not fit as of
            :func:`~flsl_mm.checkpoint.integrity.misfit`.
    """
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    if missing:
        raise CheckpointError(
            f'{len(missing)} of {len(wanted)} {part} tensors are missing: {shorten_names(missing)}'
            f'{describe_unread_layout(surplus)}'
        )
    if surplus:
        raise CheckpointError(
            f'{len(surplus)} tensors have no place in {module}, the file is of another architecture: '
            f'{shorten_names(surplus)}{describe_unread_layout(surplus)}'
        )
    problems = {}
    for name, tensor in wanted.items():
        if positions_vary and name == 'pos_embed' and found[name].dim() == tensor.dim() == 3:
            tensor = tensor[:, :1].expand(1, found[name].shape[1], -1)
        if problem := misfit(found[name], tensor):
            problems[name] = problem
    if problems:
        listed = shorten_names([f'{name} {problem}' for name, problem in problems.items()])
        raise CheckpointError(f'{len(problems)} of {len(wanted)} {part} tensors do not fit: {listed}')


def shorten_names(names: Mapping | list, limit: int = 3) -> str:
    """List the first few names, for messages."""
    names = list(names)
    return ', '.join(names[:limit]) + (f' and {len(names) - limit} more' if len(names) > limit else '')


def format_differences(differences: Mapping[str, tuple[Any, Any]], one: str, other: str) -> str:
    """List what :meth:`BackboneSpec.differences` gives, for messages; ``one`` and ``other`` name the sides."""
    return ', '.join(f'{name} {a!r} in the {one} and {b!r} in the {other}' for name, (a, b) in differences.items())
