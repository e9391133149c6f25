"""Conversion between this package's, the official FLSL and timm's layouts (pure functions on checkpoint contents)."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flsl_mm.models.vit import ARCHS

from .files import CheckpointError
from .layouts import BACKBONE_FORMAT, FACTS_KEY, Backbone, find_backbone, geometry, mapping, plain_tensors
from .load import backbone_meta

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of FLSL's and DINO's training, RGB values 0 to 1."""

HEAD_NAMES = {
    'head.last_layer.weight_g': 'head.last_layer.parametrizations.weight.original0',
    'head.last_layer.weight_v': 'head.last_layer.parametrizations.weight.original1',
}
"""Names of the last layer's norms and directions: official, as of the old weight norm, and ours."""

CLASS_TOKEN = 'backbone.cls_token'
"""The official model has one and does not use it; kept so that a checkpoint comes back whole."""

OURS = {'student': '', 'teacher': 'teacher.'}
"""Prefix of each branch in our training checkpoints."""

KEPT = 'official'
"""Entry of our training checkpoints with what only the official layout has."""


def split_branches(checkpoint: Mapping) -> dict[str, dict[str, Tensor]]:
    """Take student and teacher apart, each ``backbone.*`` and ``head.*`` in official names.

    Args:
        checkpoint: A training checkpoint, official or ours.

    Returns:
        Tensors by branch; empty if the checkpoint is neither. Anything but backbone and head is left out.
    """
    states = {branch: plain_tensors(mapping(checkpoint, branch)) for branch in OURS}
    if not all(states.values()):
        ours = plain_tensors(mapping(checkpoint, 'state_dict'))
        if not any(name.startswith('teacher.backbone.') for name in ours):
            return {}
        states = {
            branch: {
                **{name.removeprefix(prefix): tensor for name, tensor in ours.items() if name.startswith(prefix)},
                **plain_tensors(mapping(mapping(checkpoint, KEPT), branch)),
            }
            for branch, prefix in OURS.items()
        }
    official_names = {ours: official for official, ours in HEAD_NAMES.items()}
    return {
        branch: {
            official_names.get(name, name): tensor
            for name, tensor in state.items()
            if name.startswith(('backbone.', 'head.'))
        }
        for branch, state in states.items()
    }


def is_flsl_training(checkpoint: Mapping) -> bool:
    """Tell whether a checkpoint holds FLSL's student and teacher, rather than DINO's, whose positions are learned."""
    return bool(split_branches(checkpoint)) and find_backbone(checkpoint).facts.get('pos_embed') == 'sincos'


def to_flsl(checkpoint: Mapping, branch: str | None = None, heads: int | None = None) -> dict[str, Any]:
    """Convert to this package's layout.

    Args:
        checkpoint: Content of a checkpoint in any known layout.
        branch: Keep only this branch's backbone, as a backbone file. With ``None``, an FLSL training checkpoint
            becomes a training checkpoint of ours with both branches and their heads; from any other the teacher's, or
            only, backbone is kept.
        heads: Number of attention heads, for files that do not say.

    Returns:
        ``dict(state_dict, meta)``. Optimiser state is not converted.

    Raises:
        CheckpointError: If there is no backbone, or the number of heads is unknown or another.
    """
    found = find_backbone(checkpoint, branch or 'teacher')
    description = describe_found(found, heads)
    if branch is None and is_flsl_training(checkpoint):
        return _training_checkpoint(checkpoint, description)
    meta = mapping(checkpoint, 'meta')
    if meta.get('format') == BACKBONE_FORMAT:
        normalisation = (_numbers(meta.get('mean')), _numbers(meta.get('std')))
    else:
        official = bool(mapping(checkpoint, 'student') or mapping(checkpoint, 'teacher'))
        normalisation = (IMAGENET_MEAN, IMAGENET_STD) if official else (None, None)
    return dict(state_dict=found.tensors, meta=backbone_meta(description, *normalisation))


def _training_checkpoint(checkpoint: Mapping, description: dict) -> dict[str, Any]:
    state, kept = OrderedDict(), {}
    for branch, tensors in split_branches(checkpoint).items():
        kept[branch] = {CLASS_TOKEN: tensors[CLASS_TOKEN]} if CLASS_TOKEN in tensors else {}
        for name, tensor in tensors.items():
            if name not in kept[branch]:
                state[OURS[branch] + HEAD_NAMES.get(name, name)] = tensor
    state._metadata = OrderedDict(
        (f'{prefix}backbone', {'version': 1, FACTS_KEY: description}) for prefix in OURS.values()
    )
    return {'meta': dict(epoch=_epoch(checkpoint)), 'state_dict': state, KEPT: kept}


def to_official(checkpoint: Mapping, branch: str | None = None, heads: int | None = None) -> dict[str, Any]:
    """Convert to the layout of the official FLSL program.

    Args:
        checkpoint: Content of a checkpoint in any known layout.
        branch: Keep only this branch's backbone. With ``None`` an FLSL training checkpoint keeps both branches and
            their heads; from any other the teacher's, or only, backbone becomes the teacher's.
        heads: Number of attention heads, for files that do not say.

    Returns:
        ``student`` with the names' prefix ``module.``, ``teacher``, ``epoch`` and ``args``. Optimiser state is not
        converted.

    Raises:
        CheckpointError: As :func:`to_flsl`.
    """
    found = find_backbone(checkpoint, branch or 'teacher')
    description = describe_found(found, heads)
    if branch is None and is_flsl_training(checkpoint):
        branches = split_branches(checkpoint)
    else:
        branches = {branch or 'teacher': {f'backbone.{name}': tensor for name, tensor in found.tensors.items()}}
    embed_dim = description['arch']['embed_dim']
    converted: dict[str, Any] = {}
    for name, tensors in branches.items():
        prefix = 'module.' if name == 'student' else ''
        whole = {CLASS_TOKEN: torch.zeros(1, 1, embed_dim), **tensors}
        converted[name] = OrderedDict((prefix + key, tensor) for key, tensor in whole.items())
    directions = branches.get('teacher', {}).get('head.last_layer.weight_v')
    converted['args'] = _official_args(description, None if directions is None else len(directions))
    converted['epoch'] = _epoch(checkpoint)
    return converted


def to_timm(checkpoint: Mapping, branch: str | None = None, heads: int | None = None) -> dict[str, Tensor]:
    """Convert to a state dict for timm's ``VisionTransformer`` with ``class_token=False``; the teacher's by default.

    Args:
        checkpoint: Content of a checkpoint in any known layout.
        branch: ``'teacher'`` (default) or ``'student'``.
        heads: Number of attention heads, checked against the file if that says it.

    Raises:
        CheckpointError: As :func:`to_flsl`.
    """
    found = find_backbone(checkpoint, branch or 'teacher')
    describe_found(found, heads)
    return found.tensors


def describe_found(found: Backbone, heads: int | None = None) -> dict[str, Any]:
    """Describe a found backbone as :func:`flsl_mm.checkpoint.describe` does a module.

    Args:
        found: Backbone in a checkpoint.
        heads: Number of attention heads, for files that do not say. Without it, those of the usual ViT of that width.

    Raises:
        CheckpointError: If heads are unknown, do not divide the width, or the file says another number; or if a
            tensor that every backbone has is missing.
    """
    shape = geometry(found.tensors)
    if 'pos_embed' not in found.tensors or 'mlp_ratio' not in shape:
        raise CheckpointError('the backbone is incomplete: positions or blocks are missing')
    in_file = found.facts.get('num_heads')
    if heads and in_file and heads != in_file:
        raise CheckpointError(f'the file says {in_file} heads, not {heads}')
    usual = {arch['embed_dim']: arch['num_heads'] for arch in ARCHS.values()}
    heads = heads or in_file or usual.get(shape['embed_dim'])
    if not heads or heads < 1 or shape['embed_dim'] % heads:
        raise CheckpointError(
            f'the file does not say its number of heads and {shape["embed_dim"]} channels are not split into '
            f'{heads or "a usual number"}: give it with --heads'
        )
    arch = {key: shape[key] for key in ('embed_dim', 'depth', 'mlp_ratio')}
    return dict(
        arch={**arch, 'num_heads': heads},
        patch_size=shape['patch_size'],
        img_size=found.grid * shape['patch_size'],
        pos_embed=found.facts['pos_embed'],
        pos_resize=found.facts.get('pos_resize', 'offset'),
    )


def _official_args(description: Mapping, num_prototypes: int | None) -> argparse.Namespace:
    """Name the architecture as the official program does, which goes by its number of heads."""
    heads = description['arch']['num_heads']
    names = {arch['num_heads']: f'vit_{name}' for name, arch in ARCHS.items()}
    args = argparse.Namespace(arch=names.get(heads, 'vit'), num_heads=heads, patch_size=description['patch_size'])
    if num_prototypes is not None:
        args.out_dim = num_prototypes
    return args


def _epoch(checkpoint: Mapping) -> int:
    epoch = mapping(checkpoint, 'meta').get('epoch', checkpoint.get('epoch'))
    return epoch if isinstance(epoch, int) else 0


def _numbers(values: Any) -> list[float] | None:
    numbers = isinstance(values, (list, tuple)) and values and all(isinstance(v, (int, float)) for v in values)
    return list(values) if numbers else None
