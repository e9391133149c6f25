"""Conversion between this package's, the official FLSL and timm's layouts (pure functions on checkpoint contents)."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from flsl_mm.models.prototype_head import FLSLHead
from flsl_mm.models.spec import ARCHS, SPEC_KEY, BackboneSpec, default_num_heads
from flsl_mm.models.vit import FLSLViT
from flsl_mm.utils.version import __version__

from .files import CheckpointError
from .find import check_tensors, find_backbone
from .layouts import BACKBONE_FORMAT, mapping, plain_tensors

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
    """Return whether a checkpoint holds FLSL's student and teacher, rather than DINO's, whose positions are learned."""
    return bool(split_branches(checkpoint)) and find_backbone(checkpoint).spec.pos_embed == 'sincos'


def to_flsl(checkpoint: Mapping, branch: str | None = None, heads: int | None = None) -> dict[str, Any]:
    """Convert to this package's layout.

    Args:
        checkpoint: Content of a checkpoint in any known layout.
        branch: Keep only this branch's backbone, as a backbone file. With ``None``, an FLSL training checkpoint
            becomes a training checkpoint of ours with both branches and their heads; from any other the teacher's, or
            only, backbone is kept.
        heads: Number of attention heads, for files that do not say.

    Returns:
        ``dict(state_dict, meta)``. Optimizer state is not converted.

    Raises:
        CheckpointError: If there is no backbone, the number of heads is unknown or another, or the tensors are not
            those of ``FLSLViT``, or of ``FLSLHead``.
    """
    tensors, spec, branches = _verified(checkpoint, branch, heads)
    return _training_checkpoint(checkpoint, branches, spec) if branches else backbone_content(tensors, spec)


def _verified(
    checkpoint: Mapping, branch: str | None, heads: int | None
) -> tuple[dict[str, Tensor], BackboneSpec, dict[str, dict[str, Tensor]]]:
    """Find what is to be converted, and make sure that this package's modules take it.

    Returns:
        The backbone, its spec and, where a whole FLSL training is meant, both branches as of :func:`split_branches`.
    """
    found = find_backbone(checkpoint, branch or 'teacher')
    spec = complete_spec(found.spec, heads)
    with torch.device('meta'):
        wanted = FLSLViT.from_spec(spec).state_dict()
    check_tensors(found.tensors, wanted)
    if branch is not None or not is_flsl_training(checkpoint):
        return found.tensors, spec, {}
    branches = split_branches(checkpoint)
    check_tensors(find_backbone(checkpoint, 'student').tensors, wanted, "student's backbone")
    for name, tensors in branches.items():
        _check_head(tensors, spec.embed_dim, f"{name}'s head")
    return found.tensors, spec, branches


def _check_head(tensors: Mapping[str, Tensor], in_channels: int, part: str) -> None:
    """Check that a branch's head, in official names, is an ``FLSLHead``, whose widths its biases tell."""
    head = {HEAD_NAMES.get(name, name): tensor for name, tensor in tensors.items() if name.startswith('head.')}
    layers = sorted(int(match[1]) for match in map(re.compile(r'head\.mlp\.(\d{1,3})\.bias').fullmatch, head) if match)
    widths = [head[f'head.mlp.{layer}.bias'].numel() for layer in layers]
    directions = head.get(HEAD_NAMES['head.last_layer.weight_v'], torch.empty(0))
    if not widths or not min(widths) or directions.dim() != 2 or not directions.numel():
        raise CheckpointError(f'the {part} is incomplete: keep a backbone alone with --branch')
    with torch.device('meta'):
        wanted = FLSLHead(in_channels, len(directions), widths[:-1], widths[-1]).state_dict()
    check_tensors(head, {f'head.{name}': tensor for name, tensor in wanted.items()}, part, 'FLSLHead')


def backbone_file(
    backbone: FLSLViT,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    value_range: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Make the content of a backbone file: tensors under plain names, and all that is needed to use them.

    Args:
        backbone: For example the teacher's.
        mean: Mean of red, green and blue, for values 0 to 1, with which its images are normalized; ``None`` if unknown.
        std: Standard deviation of the same.
        value_range: Black and white of its images, if they had more than 8 bits and used a part of 16.

    Returns:
        ``dict(state_dict, meta)``, which loads with ``weights_only=True`` and no names allowed besides.

    Raises:
        ValueError: If ``std`` is for values 0 to 255.
    """
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in backbone.state_dict().items()}
    mean, std, value_range = (values and tuple(values) for values in (mean, std, value_range))
    return backbone_content(tensors, replace(backbone.spec, mean=mean, std=std, value_range=value_range))


def backbone_content(tensors: dict[str, Tensor], spec: BackboneSpec) -> dict[str, Any]:
    """Make the content of a backbone file from its tensors and the spec."""
    return dict(state_dict=tensors, meta=dict(format=BACKBONE_FORMAT, version=__version__, **spec.to_dict()))


def _training_checkpoint(
    checkpoint: Mapping, branches: Mapping[str, Mapping[str, Tensor]], spec: BackboneSpec
) -> dict[str, Any]:
    state, kept = OrderedDict(), {}
    for branch, tensors in branches.items():
        kept[branch] = {CLASS_TOKEN: tensors[CLASS_TOKEN]} if CLASS_TOKEN in tensors else {}
        for name, tensor in tensors.items():
            if name not in kept[branch]:
                state[OURS[branch] + HEAD_NAMES.get(name, name)] = tensor
    beside_tensors = {'version': 1, SPEC_KEY: spec.to_dict()}
    state._metadata = OrderedDict((f'{prefix}backbone', beside_tensors) for prefix in OURS.values())
    return {'meta': dict(epoch=_epoch(checkpoint)), 'state_dict': state, KEPT: kept}


def to_official(checkpoint: Mapping, branch: str | None = None, heads: int | None = None) -> dict[str, Any]:
    """Convert to the layout of the official FLSL program.

    Args:
        checkpoint: Content of a checkpoint in any known layout.
        branch: Keep only this branch's backbone. With ``None`` an FLSL training checkpoint keeps both branches and
            their heads; from any other the teacher's, or only, backbone becomes the teacher's.
        heads: Number of attention heads, for files that do not say.

    Returns:
        ``student`` with the names' prefix ``module.``, ``teacher``, ``epoch`` and ``args``. Optimizer state is not
        converted.

    Raises:
        CheckpointError: As :func:`to_flsl`.
    """
    tensors, spec, branches = _verified(checkpoint, branch, heads)
    branches = branches or {branch or 'teacher': {f'backbone.{name}': tensor for name, tensor in tensors.items()}}
    converted: dict[str, Any] = {}
    for name, tensors in branches.items():
        prefix = 'module.' if name == 'student' else ''
        whole = {CLASS_TOKEN: torch.zeros(1, 1, spec.embed_dim), **tensors}
        converted[name] = OrderedDict((prefix + key, tensor) for key, tensor in whole.items())
    directions = branches.get('teacher', {}).get('head.last_layer.weight_v')
    converted['args'] = _official_args(spec, None if directions is None else len(directions))
    converted['epoch'] = _epoch(checkpoint)
    return converted


def to_timm(checkpoint: Mapping, branch: str | None = None, heads: int | None = None) -> dict[str, Tensor]:
    """Convert to a state dict for timm's ``VisionTransformer`` with ``class_token=False``; the teacher's by default.

    Arguments and errors are those of :func:`to_flsl`; ``heads`` is only checked.
    """
    return _verified(checkpoint, branch, heads)[0]


def complete_spec(spec: BackboneSpec, heads: int | None = None, advice: str = 'give it with --heads') -> BackboneSpec:
    """Settle what a file may leave open: heads, and how positions are resized.

    Args:
        spec: Spec of a backbone in a checkpoint.
        heads: Number of attention heads, for files that do not say. Without it, those of the usual ViT of that width.
        advice: How the caller gives the number of heads, for the message.

    Raises:
        CheckpointError: If heads are unknown, do not divide the width, or the file says another number; or if a
            tensor that every backbone has is missing.
    """
    if spec.pos_embed is None or spec.mlp_ratio is None:
        raise CheckpointError('the backbone is incomplete: positions or blocks are missing')
    if heads and spec.num_heads and heads != spec.num_heads:
        raise CheckpointError(f'the file says {spec.num_heads} heads, not {heads}')
    heads = heads or spec.num_heads or default_num_heads(spec.embed_dim)
    if not heads or heads < 1 or spec.embed_dim % heads:
        raise CheckpointError(
            f'the file does not say its number of heads and {spec.embed_dim} channels are not split into '
            f'{heads or "a usual number"}: {advice}'
        )
    return replace(spec, num_heads=heads, pos_resize=spec.pos_resize or 'offset')


def _official_args(spec: BackboneSpec, num_prototypes: int | None) -> argparse.Namespace:
    """Name the architecture as the official program does, which goes by its number of heads."""
    names = {arch['num_heads']: f'vit_{name}' for name, arch in ARCHS.items()}
    arch = names.get(spec.num_heads, 'vit')
    args = argparse.Namespace(arch=arch, num_heads=spec.num_heads, patch_size=spec.patch_size)
    if num_prototypes is not None:
        args.out_dim = num_prototypes
    return args


def _epoch(checkpoint: Mapping) -> int:
    epoch = mapping(checkpoint, 'meta').get('epoch', checkpoint.get('epoch'))
    return epoch if isinstance(epoch, int) else 0
