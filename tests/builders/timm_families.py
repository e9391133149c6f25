"""One tiny model of each family of vision transformers in timm that the evaluations take."""

import pytest
import torch

from flsl_mm.models import TimmViT

TINY = dict(depth=2, embed_dim=32, num_heads=2)

FAMILIES = {
    'DINO': 'vit_small_patch16_224.dino',
    'DINOv2': 'vit_small_patch14_dinov2.lvd142m',
    'DINOv2 with registers': 'vit_small_patch14_reg4_dinov2.lvd142m',
    'DINOv3': 'vit_small_patch16_dinov3.lvd1689m',
    'EVA-02': 'eva02_tiny_patch14_224.mim_in22k',
    'MAE': 'vit_base_patch16_224.mae',
    'SigLIP': 'vit_base_patch16_siglip_224.v2_webli',
    'CLIP': 'vit_base_patch16_clip_224.openai',
}

every_family = pytest.mark.parametrize('name', FAMILIES.values(), ids=FAMILIES.keys())


def tiny_config(name: str, **options) -> dict:
    """Return the config of a family's tiny model."""
    return dict(type='TimmViT', model_name=name, model_options=TINY, **options)


def tiny_timm(name: str, seed: int = 0, **options) -> TimmViT:
    """Build a family's tiny model with random weights, layer scale of 1e-5 made visible."""
    torch.manual_seed(seed)
    config = tiny_config(name, **options)
    config.pop('type')
    return visible(TimmViT(**config)).eval()


def visible(model: torch.nn.Module) -> torch.nn.Module:
    """Make every layer scale 1, so that the blocks of an untrained model count."""
    for key, parameter in model.named_parameters():
        if 'gamma' in key:
            torch.nn.init.ones_(parameter)
    return model
