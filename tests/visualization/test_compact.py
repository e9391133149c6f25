"""Features in a page: small, and their products the similarities."""

import base64

import numpy as np
import torch
from torch.nn import functional as F

from flsl_mm.visualization.compact import compact_features


def products(compact) -> torch.Tensor:
    values = np.frombuffer(base64.b64decode(compact.base64), np.int8).reshape(len(compact.values), -1)
    return compact.scale * torch.from_numpy(values.astype(np.float32) @ values.T.astype(np.float32))


def test_products_are_the_cosine_similarities():
    features = torch.randn(20, 30, 12) @ torch.randn(12, 96)  # of rank 12
    tokens = F.normalize(features.flatten(0, 1), dim=-1)
    compact = compact_features(features)
    assert (compact.grid_hw, compact.values.shape, compact.values.dtype) == ((20, 30), (600, 32), torch.int8)
    torch.testing.assert_close(products(compact), tokens @ tokens.T, atol=0.02, rtol=0)
    assert compact.error < 0.01


def test_what_is_lost_is_told():
    features = torch.randn(16, 16, 96)
    tokens = F.normalize(features.flatten(0, 1), dim=-1)
    compact = compact_features(features, width=8)
    off = float((products(compact) - tokens @ tokens.T).square().mean().sqrt())
    assert off > 0.03
    assert abs(compact.error - off) < 1e-4


def test_few_channels_and_nothing_at_all():
    assert compact_features(torch.randn(2, 3, 4)).values.shape == (6, 4)
    empty = compact_features(torch.zeros(1, 1, 4))
    assert (float(products(empty)), empty.error) == (0, 0)
