"""A tiny FLSL model and its input."""

from __future__ import annotations

import torch
from torch import Tensor

from flsl_mm.selfsup import FLSL

BACKBONE = dict(
    type='FLSLViT',
    arch=dict(embed_dim=16, depth=2, num_heads=2),
    patch_size=8,
    img_size=48,
    out_type='tokens',
    drop_path_rate=0.2,
)
HEAD = dict(type='FLSLHead', hidden_channels=(12,), bottleneck_channels=8, num_prototypes=10)
VIEWS = dict(type='FLSLDataPreprocessor', global_crops=dict(size=40), local_crops=dict(size=24))


def toy_model(backbone: dict | None = None, views: dict | None = None, head: dict | None = None, **options) -> FLSL:
    """Build FLSL on a 2-block ViT with 10 prototypes; keyword arguments override options of the model."""
    torch.manual_seed(0)
    model = FLSL(
        backbone=BACKBONE | (backbone or {}),
        head=HEAD | (head or {}),
        data_preprocessor=VIEWS | (views or {}),
        **options,
    )
    model.init_weights()
    return model


def toy_views(model: FLSL, batch_size: int = 3, seed: int = 0) -> dict[str, list[Tensor]]:
    """Make the views of random images as the model's data preprocessor does."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (batch_size, 3, 48, 48), generator=generator, dtype=torch.uint8)
    torch.manual_seed(seed)
    return model.data_preprocessor(dict(inputs=images), training=True)['inputs']
