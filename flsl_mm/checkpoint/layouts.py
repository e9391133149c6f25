"""Layouts of checkpoints, ours and others': where a vision transformer lies in them, and under which names."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from flsl_mm.models.spec import ARCHS, IMAGENET_MEAN, IMAGENET_STD, SPEC_KEY, BackboneSpec

from .files import CheckpointError

BACKBONE_FORMAT = 'flsl_mm-backbone'
"""``meta['format']`` of the backbone files that :func:`flsl_mm.checkpoint.backbone_file` makes."""

ANCHOR, MMPRETRAIN_ANCHOR = 'patch_embed.proj.weight', 'patch_embed.projection.weight'
"""A tensor that every vision transformer has in timm's naming, and in mmpretrain's."""

BRANCHES = ('teacher', 'student')

AVERAGED = dict(state_dict_ema='state_dict', model_ema='model', target_encoder='encoder')
"""Entries with weights averaged over training (timm, DeiT, I-JEPA), which are the teacher, and those of the others."""

HOLDERS = ('state_dict', 'model', 'module', 'encoder', 'backbone')
"""Entries that hold the tensors of a model, or another such entry."""

TEACHERS = re.compile(r'(teacher(_(backbone|encoder|model|vit))?|momentum_backbone|target_encoder)$')
STUDENTS = re.compile(r'student(_(backbone|encoder|model|vit))?$')
MODULES = re.compile(r'(backbone|bottom_up|encoder|model|vit)$')
"""Parts of names before those of a vision transformer: of the averaged weights, of the others, and of either."""

WRAPPERS = re.compile(r'(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')
"""What compiling, sharding and recomputing put into names."""

CHUNKS = re.compile(r'(?:(?<=\.)|^)blocks\.\d+\.(?=\d+\.)')
"""Blocks in lists of their own, as DINOv2 trains them; their numbers go on from one list to the next."""

MMPRETRAIN = {
    r'patch_embed\.projection\.': 'patch_embed.proj.',
    r'layers\.(\d+)\.ln([12])\.': r'blocks.\1.norm\2.',
    r'layers\.(\d+)\.ffn\.layers\.0\.0\.': r'blocks.\1.mlp.fc1.',
    r'layers\.(\d+)\.ffn\.layers\.1\.': r'blocks.\1.mlp.fc2.',
    r'layers\.(\d+)\.': r'blocks.\1.',
    r'ln1\.': 'norm.',
}
"""Starts of mmpretrain's names of a vision transformer's tensors, and timm's, the first that fits."""

UNREAD = {
    'iBOT': r'masked_embed$',
    'MoCo-v3': r'(base|momentum)_encoder\.',
    'MAE with its decoder': r'decoder_(embed|blocks|pos_embed|norm|pred)\b',
    'DINOv3': r'(storage_tokens$|rope_embed\.|blocks\.\d+\.attn\.qkv\.bias_mask$)',
    'BEiT': r'(blocks\.\d+\.(gamma_[12]$|attn\.(q_bias|relative_position_bias_table)$)|rel_pos_bias\.)',
    'DINOv2, or another with layer scale or register tokens': r'(register_tokens$|blocks\.\d+\.ls[12]\.)',
    'Hugging Face transformers': r'((vit|model)\.)?embeddings\.patch_embeddings\.',
    'torchvision': r'(conv_proj|encoder\.layers\.encoder_layer_\d+)\.',
    'CLIP': r'(visual\.)?transformer\.resblocks\.\d+\.',
}
"""Layouts that are not read, and what the names of some of their tensors start with."""


@dataclass(frozen=True)
class Layout:
    """A state dict in a checkpoint.

    Attributes:
        tensors: All of its tensors, without what wrappers put into names.
        prefix: What precedes the names of a branch's vision transformer; None where it has none in timm's naming.
        kind: Kind of checkpoint, for messages.
        declared: What the file says about the backbone.
    """

    tensors: dict[str, Tensor]
    prefix: str | None
    kind: str
    declared: BackboneSpec


def open_layout(checkpoint: Mapping, branch: str) -> Layout:
    """Find the state dict in a checkpoint, and a branch's vision transformer in that.

    Args:
        checkpoint: Content of a checkpoint file.
        branch: ``'teacher'`` or ``'student'``, where the checkpoint has both.

    Raises:
        CheckpointError: If the branch is the one that the checkpoint does not have, or if it has several transformers
            that could be meant, or if it says that images were normalized in an impossible way.
        ValueError: If ``branch`` is unknown.
    """
    if branch not in BRANCHES:
        raise ValueError(f"branch must be 'teacher' or 'student', got {branch!r}")
    try:
        return _open(checkpoint, branch)
    except ValueError as error:  # also of what the file says about the backbone
        raise CheckpointError(str(error)) from None


def _open(checkpoint: Mapping, branch: str) -> Layout:
    state, kind, declared = _state_dict(checkpoint, branch)
    notes = {unwrapped(f'{name}.')[:-1]: note for name, note in (getattr(state, '_metadata', None) or {}).items()}
    tensors = _renamed(state, unwrapped)
    prefix = _prefix(tensors, ANCHOR, branch)
    if prefix is None and (prefix := _prefix(tensors, MMPRETRAIN_ANCHOR, branch)) is not None:
        tensors = {
            prefix + timm_name(name.removeprefix(prefix)) if name.startswith(prefix) else name: tensor
            for name, tensor in tensors.items()
        }
        kind = 'mmpretrain vision transformer'
    if prefix is not None:
        declared = BackboneSpec.from_dict(mapping(mapping(notes, prefix.rstrip('.')), SPEC_KEY)).filled_from(declared)
        kind = _kind(kind, tensors, prefix, branch)
    return Layout(tensors, prefix, kind, declared)


def _state_dict(checkpoint: Mapping, branch: str) -> tuple[Mapping, str, BackboneSpec]:
    """Return the state dict inside a checkpoint, the layout's name, and what the file says about the backbone."""
    meta = mapping(checkpoint, 'meta')
    if meta.get('format') == BACKBONE_FORMAT:
        return mapping(checkpoint, 'state_dict'), 'FLSL backbone file', BackboneSpec.from_dict(meta)
    declared, kind, state = _spec_of_args(checkpoint.get('args')), 'state dict', checkpoint
    branches = [name for name in BRANCHES if isinstance(checkpoint.get(name), Mapping)]
    if branches:
        if branch not in branches:
            raise CheckpointError(f'the checkpoint has no {branch}, only a {branches[0]}: set branch={branches[0]!r}')
        declared = replace(declared, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        kind, state = f'teacher-student checkpoint, {branch}', checkpoint[branch]
    averaged = tuple(AVERAGED) if branch == 'teacher' else ()
    # A model in a wrapper in a checkpoint is the most that programs write.
    for _ in range(3):
        key = next((key for key in (*averaged, *HOLDERS) if mapping(state, key)), None)
        if key is None:
            break
        if key in AVERAGED:
            others = f"; branch='student' takes {AVERAGED[key]}" if mapping(state, AVERAGED[key]) else ''
            kind = f'averaged weights, {key}{others}'
        state = state[key]
    return state, kind, declared


def _kind(kind: str, tensors: Mapping, prefix: str, branch: str) -> str:
    """Describe where in a state dict a backbone was found."""
    parts = prefix.split('.')
    if kind == 'state dict' and (prefix == 'teacher.backbone.' or f'teacher.backbone.{ANCHOR}' in tensors):
        return f'FLSL training checkpoint, {branch}'
    if 'bottom_up' in parts or prefix == 'backbone.vit.':
        return 'detectron2 detector'
    if kind == 'state dict' and any(map(TEACHERS.match, parts)):
        return f"averaged weights, {prefix}*; branch='student' takes the others"
    return kind


def _prefix(tensors: Mapping, anchor: str, branch: str) -> str | None:
    """Return what precedes a branch's tensor names, None where the branch has no tensor called ``anchor``."""
    ranks: dict[tuple[bool, int], list[str]] = {}
    for name in tensors:
        if not f'.{name}'.endswith(f'.{anchor}'):
            continue
        prefix = name.removesuffix(anchor)
        parts = prefix.split('.')[:-1]
        teacher, student = (any(map(pattern.match, parts)) for pattern in (TEACHERS, STUDENTS))
        known = all(TEACHERS.match(part) or STUDENTS.match(part) or MODULES.match(part) for part in parts)
        if known and not (teacher if branch == 'student' else student):
            ranks.setdefault((not teacher, -len(parts)), []).append(prefix)
    if not ranks:
        return None
    first = ranks[min(ranks)]
    if len(first) > 1:
        raise CheckpointError(f'the checkpoint has several vision transformers, {" and ".join(first[:2])}')
    return first[0]


def unwrapped(name: str) -> str:
    """Take what wrappers and lists of blocks put into the name of a tensor out of it."""
    return CHUNKS.sub('blocks.', re.sub(r'^(module\.)+', '', WRAPPERS.sub('', name)))


def plain_tensors(state: Mapping) -> dict[str, Tensor]:
    """Keep the tensors of a state dict, without the ``module.`` that data-parallel wrappers put before names."""
    return _renamed(state, lambda name: name.removeprefix('module.'))


def _renamed(state: Mapping, rename: Any) -> dict[str, Tensor]:
    """Keep the tensors of a state dict under other names, which must be printable and not become the same."""
    tensors = {}
    for name, tensor in state.items():
        if isinstance(tensor, Tensor):
            if not isinstance(name, str) or not name.isprintable():
                raise CheckpointError(f'a tensor has the unusable name {name!r}')
            if rename(name) in tensors:
                raise CheckpointError(f'two tensors are called {rename(name)}, with and without a wrapper')
            tensors[rename(name)] = tensor
    return tensors


def mapping(parent: Any, key: str) -> Mapping:
    """Look up a dict in what may be no dict, since files are untrusted; empty if there is none."""
    child = parent.get(key) if isinstance(parent, Mapping) else None
    return child if isinstance(child, Mapping) else {}


def _spec_of_args(args: Any) -> BackboneSpec:
    """Read heads and patch size from the command line that FLSL, DINO and DeiT store."""
    if not isinstance(args, argparse.Namespace):
        return BackboneSpec()
    name = re.fullmatch(r'(?:vit|deit)_(tiny|small|base)', str(getattr(args, 'arch', '')))
    heads = ARCHS[name.group(1)]['num_heads'] if name else None
    declared = dict(num_heads=getattr(args, 'num_heads', heads), patch_size=getattr(args, 'patch_size', None))
    # Of another program, for which these may mean something else.
    return BackboneSpec.from_dict({name: value for name, value in declared.items() if _is_count(value)})


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def timm_name(name: str) -> str:
    """Translate the name of a tensor of mmpretrain's vision transformer; others stay as they are."""
    for pattern, ours in MMPRETRAIN.items():
        translated, count = re.subn(f'^{pattern}', ours, name)
        if count:
            return translated
    return name


def describe_unread_layout(names: Iterable[str]) -> str:
    """Name the layout of tensors that have no place, in brackets for messages; empty if it is not known."""
    names = list(names)
    known = (layout for layout, pattern in UNREAD.items() if any(re.match(pattern, name) for name in names))
    return next((f' (the layout of {layout}, which is not read)' for layout in known), '')
