"""Vision transformers of other programs: names that are translated, and layouts that are only recognized."""

from __future__ import annotations

import re
from collections.abc import Iterable

MMPRETRAIN_ANCHOR = 'patch_embed.projection.weight'
"""A tensor that every vision transformer of mmpretrain has."""

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
    'BEiT': r'(blocks\.\d+\.(gamma_[12]$|attn\.(q_bias|relative_position_bias_table)$)|rel_pos_bias\.)',
    'DINOv2, or another with layer scale or register tokens': r'(register_tokens$|blocks\.\d+\.ls[12]\.)',
    'Hugging Face transformers': r'((vit|model)\.)?embeddings\.patch_embeddings\.',
    'torchvision': r'(conv_proj|encoder\.layers\.encoder_layer_\d+)\.',
    'CLIP': r'(visual\.)?transformer\.resblocks\.\d+\.',
}
"""Layouts that are not read, and what the names of some of their tensors start with."""


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
