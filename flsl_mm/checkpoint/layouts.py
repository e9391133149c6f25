"""Where the backbone is in a checkpoint, under which names, and what the file says about it (pure functions)."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from flsl_mm.models.pos_embed import sincos_pos_embed
from flsl_mm.models.vit import ARCHS

from .files import CheckpointError

BACKBONE_FORMAT = 'flsl_mm-backbone'
"""``meta['format']`` of the backbone files that :func:`flsl_mm.checkpoint.backbone_file` makes."""

FACTS_KEY = 'flsl_mm'
"""Entry that holds a backbone's facts in the version metadata which torch keeps beside the tensors of a model."""

FACTS = {'num_heads': int, 'patch_size': int, 'pos_embed': str, 'pos_resize': str}
"""What a file may say about its backbone beside the tensors, and of which type."""

ANCHOR = 'patch_embed.proj.weight'
"""A tensor that every vision transformer in timm's naming has."""

PREFIXES = {'teacher': ('teacher.backbone.', 'backbone.', ''), 'student': ('backbone.', '')}
"""Where each branch's backbone may lie in a state dict, first match first, after ``module.`` is taken off."""

UNUSED = re.compile(r'(cls_token|dist_token|mask_token)$|(head|head_dist|fc|pre_logits)\.')
"""Tensors of a timm vision transformer that patch tokens do not depend on."""


@dataclass
class Backbone:
    """A backbone found in a checkpoint.

    Attributes:
        tensors: Tensors under timm's names, positions (1, h * w, C) without rows of class tokens.
        layout: Kind of checkpoint, for messages.
        facts: What the file says beside its tensors, any of :data:`FACTS`; ``pos_embed`` is told from the table where
            the file does not say it.
        ignored: Number of tensors left out, by first part of their name.
    """

    tensors: dict[str, Tensor]
    layout: str
    facts: dict[str, Any]
    ignored: Counter = field(default_factory=Counter)

    @property
    def grid(self) -> int:
        """Side of the square grid of the position table, in patches."""
        return isqrt(self.tensors['pos_embed'].shape[1])


def find_backbone(checkpoint: Mapping, branch: str = 'teacher') -> Backbone:
    """Find a backbone in any of the layouts of ``docs/weights.md``.

    Args:
        checkpoint: Content of a checkpoint file.
        branch: ``'teacher'`` or ``'student'``, where the checkpoint has both.

    Raises:
        CheckpointError: If there is none, or its position table does not belong to a square grid.
        ValueError: If ``branch`` is unknown.
    """
    if branch not in PREFIXES:
        raise ValueError(f"branch must be 'teacher' or 'student', got {branch!r}")
    state, layout, facts = _open(checkpoint, branch)
    metadata = getattr(state, '_metadata', None)
    state = plain_tensors(state)
    prefix = next((prefix for prefix in PREFIXES[branch] if prefix + ANCHOR in state), None)
    if prefix is None:
        raise CheckpointError(
            f'no vision transformer in the checkpoint: no tensor is called {ANCHOR}, bare or after backbone.; '
            f'it holds {some(state) or "no tensors"}'
        )
    if prefix.startswith('teacher.') or (layout == 'state dict' and f'teacher.backbone.{ANCHOR}' in state):
        layout = f'FLSL training checkpoint, {branch}'
    found = Backbone({}, layout, {**facts, **_facts_of_metadata(metadata, prefix.rstrip('.'))})
    for name, tensor in state.items():
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and not UNUSED.match(plain):
            found.tensors[plain] = tensor
        else:
            first, _, rest = (plain if name.startswith(prefix) else name).partition('.')
            found.ignored[f'{first}.*' if rest else first] += 1
    _settle_positions(found)
    return found


def _open(checkpoint: Mapping, branch: str) -> tuple[Mapping, str, dict]:
    """Return the state dict inside a checkpoint, the layout's name, and what the file says about the backbone."""
    meta = checkpoint.get('meta')
    if isinstance(meta, Mapping) and meta.get('format') == BACKBONE_FORMAT:
        return mapping(checkpoint, 'state_dict'), 'FLSL backbone file', _facts_of_description(meta)
    branches = [name for name in PREFIXES if isinstance(checkpoint.get(name), Mapping)]
    if branches:
        if branch not in branches:
            raise CheckpointError(f'the checkpoint has no {branch}, only a {branches[0]}: set branch={branches[0]!r}')
        return checkpoint[branch], f'teacher-student checkpoint, {branch}', _facts_of_args(checkpoint.get('args'))
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key], 'state dict', _facts_of_args(checkpoint.get('args'))
    return checkpoint, 'state dict', {}


def plain_tensors(state: Mapping) -> dict[str, Tensor]:
    """Keep the tensors of a state dict, without the ``module.`` that data-parallel wrappers put before names."""
    named = {name: tensor for name, tensor in state.items() if isinstance(name, str) and isinstance(tensor, Tensor)}
    return {name.removeprefix('module.'): tensor for name, tensor in named.items()}


def mapping(parent: Any, key: str) -> Mapping:
    """Look up a dict in what may be no dict, since files are untrusted; empty if there is none."""
    child = parent.get(key) if isinstance(parent, Mapping) else None
    return child if isinstance(child, Mapping) else {}


def _facts_of_metadata(metadata: Any, module: str) -> dict:
    """Read the facts that :func:`flsl_mm.checkpoint.describe` left beside the tensors of ``module``."""
    return _facts_of_description(mapping(mapping(metadata, module), FACTS_KEY))


def _facts_of_description(description: Mapping) -> dict:
    return _well_typed({**description, **mapping(description, 'arch')})


def _facts_of_args(args: Any) -> dict:
    """Read heads and patch size from the command line that FLSL, DINO and DeiT store."""
    if not isinstance(args, argparse.Namespace):
        return {}
    name = re.fullmatch(r'(?:vit|deit)_(tiny|small|base)', str(getattr(args, 'arch', '')))
    heads = dict(num_heads=ARCHS[name.group(1)]['num_heads']) if name else {}
    return _well_typed({**heads, **vars(args)})


def _well_typed(values: Mapping) -> dict:
    return {key: values[key] for key, kind in FACTS.items() if isinstance(values.get(key), kind)}


def _settle_positions(found: Backbone) -> None:
    """Cut the rows of class tokens off the position table, and tell a sine-cosine table from a learned one."""
    table = found.tensors.get('pos_embed')
    if table is None:
        return
    rows = table.shape[1] if table.dim() == 3 else 0
    # Squares lie further apart than the number of class tokens, so their number follows from the number of rows.
    extra = next((extra for extra in (0, 1, 2) if rows > extra and isqrt(rows - extra) ** 2 == rows - extra), None)
    if extra is None:
        raise CheckpointError(f'the position table {tuple(table.shape)} is no square grid of patches')
    found.tensors['pos_embed'] = table[:, extra:].clone()
    found.facts.setdefault('pos_embed', 'sincos' if is_sincos(table[:, extra:]) else 'learned')


def is_sincos(table: Tensor) -> bool:
    """Tell whether a position table (1, n * n, C) is the fixed sine-cosine one, to half precision."""
    side = isqrt(table.shape[1])
    if table.shape[2] % 4:
        return False
    return torch.allclose(table.float(), sincos_pos_embed(table.shape[2], (side, side)), atol=5e-3)


def geometry(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read ``embed_dim``, ``depth``, ``mlp_ratio``, ``patch_size`` and ``in_channels`` from tensors in timm's naming.

    Raises:
        CheckpointError: If the patch embedding is no convolution over images.
    """
    shape = tuple(tensors[ANCHOR].shape)
    if len(shape) != 4 or not shape[0]:
        raise CheckpointError(f'{ANCHOR} has shape {shape}, which embeds no image patches')
    embed_dim, in_channels, _, patch_size = shape
    blocks = {int(name.split('.')[1]) for name in tensors if re.match(r'blocks\.\d+\.', name)}
    found = dict(embed_dim=embed_dim, depth=len(blocks), patch_size=patch_size, in_channels=in_channels)
    hidden = tensors.get('blocks.0.mlp.fc1.weight')
    if hidden is not None and hidden.dim() == 2:
        found['mlp_ratio'] = hidden.shape[0] / embed_dim
    return found


def some(names: Mapping | list, limit: int = 3) -> str:
    """List the first few names, for messages."""
    names = list(names)
    return ', '.join(names[:limit]) + (f' and {len(names) - limit} more' if len(names) > limit else '')
