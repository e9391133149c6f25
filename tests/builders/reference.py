"""Numbers recorded from the original program (tests/data/reference, or the folder in FLSL_REFERENCE_DIR)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flsl_mm.models import FLSLHead, FLSLViT

FOLDER = Path(os.environ.get('FLSL_REFERENCE_DIR', Path(__file__).parents[1] / 'data' / 'reference'))


def load(name: str) -> dict[str, np.ndarray]:
    """Read one recorded file, for example ``loss_terms``."""
    with np.load(FOLDER / f'{name}.npz') as arrays:
        return {key: arrays[key] for key in arrays.files}


def noise(seed: int, shape) -> Tensor:
    """Make the input that a recording names by seed and shape."""
    return torch.from_numpy(np.random.RandomState(int(seed)).standard_normal(tuple(shape)).astype('float32'))


def official_checkpoint() -> dict:
    """Read the recorded checkpoint in the official training layout."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(FOLDER / 'official_checkpoint.pth', weights_only=True, map_location='cpu')


def official_part(branch: str, part: str) -> dict[str, Tensor]:
    """Take the backbone's or the head's tensors of ``'student'`` or ``'teacher'``, without prefixes and class token."""
    state = {key.removeprefix('module.'): value for key, value in official_checkpoint()[branch].items()}
    part_state = {key.removeprefix(f'{part}.'): value for key, value in state.items() if key.startswith(f'{part}.')}
    return {key: value for key, value in part_state.items() if key != 'cls_token'}


def arch_of(backbone_state: dict[str, Tensor]) -> dict:
    """Read width, depth and MLP ratio from tensors, and the number of heads from the recorded architecture's name."""
    heads = {'vit_tiny': 3, 'vit_small': 6, 'vit_base': 12}[official_checkpoint()['args'].arch]
    embed_dim = backbone_state['norm.weight'].shape[0]
    depth = 1 + max(int(key.split('.')[1]) for key in backbone_state if key.startswith('blocks.'))
    mlp_ratio = backbone_state['blocks.0.mlp.fc1.weight'].shape[0] / embed_dim
    return dict(embed_dim=embed_dim, depth=depth, num_heads=heads, mlp_ratio=mlp_ratio)


def backbone_config(state: dict[str, Tensor]) -> dict:
    """Return the sizes of a backbone of recorded tensors."""
    patch_size = state['patch_embed.proj.weight'].shape[-1]
    img_size = round(state['pos_embed'].shape[1] ** 0.5) * patch_size
    return dict(arch=arch_of(state), patch_size=patch_size, img_size=img_size, out_type='tokens')


def backbone_of(state: dict[str, Tensor]) -> FLSLViT:
    """Build the backbone of recorded tensors."""
    backbone = FLSLViT(**backbone_config(state)).eval()
    backbone.load_state_dict(state)
    return backbone


def head_config(state: dict[str, Tensor]) -> dict:
    """Return the sizes of a head of recorded tensors."""
    prototypes, bottleneck = state['last_layer.parametrizations.weight.original1'].shape
    hidden = (len(state['mlp.0.weight']), len(state['mlp.2.weight']))
    return dict(num_prototypes=prototypes, hidden_channels=hidden, bottleneck_channels=bottleneck)


def head_of(state: dict[str, Tensor]) -> FLSLHead:
    """Build the head of recorded tensors, in the original's names or in ours."""
    weight = 'last_layer.parametrizations.weight.original'
    names = {'last_layer.weight_g': f'{weight}0', 'last_layer.weight_v': f'{weight}1'}
    state = {names.get(name, name): tensor for name, tensor in state.items()}
    head = FLSLHead(state['mlp.0.weight'].shape[1], **head_config(state))
    head.load_state_dict(state)
    return head


def cosine_end(values: np.ndarray) -> float:
    """Return the end value of a half-open cosine from its first and last recorded values."""
    share = 0.5 * (1 + np.cos(np.pi * (len(values) - 1) / len(values)))
    return float((values[-1] - share * values[0]) / (1 - share))
