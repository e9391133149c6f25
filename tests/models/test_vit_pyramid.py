"""The pyramid's strides, its norms and its messages."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flsl_mm.models import vit_pyramid
from flsl_mm.models.vit_pyramid import FLSLViTPyramid, resolve_norm


def pyramid(patch_size, in_channels=4):
    return FLSLViTPyramid(in_channels, patch_size=patch_size).eval()


@settings(max_examples=20)
@given(patch_size=st.sampled_from([8, 16]), height=st.integers(1, 5), width=st.integers(1, 5))
def test_maps_have_their_strides_and_cover_the_image(patch_size, height, width):
    neck = pyramid(patch_size)
    maps = neck([torch.zeros(1, 4, height, width)] * 4)
    for features, stride in zip(maps, neck.strides, strict=True):
        expected = [-(-side * patch_size // stride) for side in (height, width)]
        assert list(features.shape) == [1, 4, *expected]


@pytest.mark.parametrize(('patch_size', 'identity', 'pooled'), [(16, 2, {3: 2}), (8, 1, {2: 2, 3: 4})])
def test_own_stride_is_untouched_and_coarser_maps_are_maxima(patch_size, identity, pooled):
    features = torch.randn(1, 4, 8, 8)
    maps = pyramid(patch_size)([features] * 4)
    assert torch.equal(maps[identity], features)
    for level, factor in pooled.items():
        blocks = features.unflatten(3, (-1, factor)).unflatten(2, (-1, factor))
        assert torch.equal(maps[level], blocks.amax(dim=(3, 5)))


def test_levels():
    maps = pyramid(16, in_channels=[2, 4, 6, 8])([torch.zeros(1, channels, 2, 2) for channels in (2, 4, 6, 8)])
    assert [features.shape[1] for features in maps] == [2, 4, 6, 8]
    kinds = [type(module) for module in pyramid(16).levels[0]]
    assert kinds == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.GELU, nn.ConvTranspose2d]
    neck = FLSLViTPyramid(4, strides=(8, 16, 32))
    assert [features.shape[-1] for features in neck([torch.zeros(1, 4, 4, 4)] * 3)] == [8, 4, 2]
    assert not isinstance(neck.levels[0], nn.Sequential)


@pytest.mark.parametrize(
    ('world_size', 'backend', 'expected'),
    [
        (None, None, nn.BatchNorm2d),
        (1, 'nccl', nn.BatchNorm2d),
        (2, 'gloo', nn.BatchNorm2d),
        (2, 'nccl', nn.SyncBatchNorm),
    ],
)
def test_norm_is_synchronised_among_several_accelerators_only(monkeypatch, world_size, backend, expected):
    monkeypatch.setattr(vit_pyramid.distributed, 'is_initialized', lambda: world_size is not None)
    monkeypatch.setattr(vit_pyramid.distributed, 'get_world_size', lambda: world_size)
    monkeypatch.setattr(vit_pyramid.distributed, 'get_backend', lambda: backend)
    assert resolve_norm('auto') is expected
    assert type(pyramid(16).levels[0][1]) is expected
    assert type(FLSLViTPyramid(4, norm='SyncBN').levels[0][1]) is nn.SyncBatchNorm


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match='patch size 14 cannot be brought to stride 4'):
        FLSLViTPyramid(4, patch_size=14)
    with pytest.raises(ValueError, match=r'one map per stride \(4, 8, 16, 32\), got in_channels \[4, 4, 4\]'):
        FLSLViTPyramid([4, 4, 4])
    with pytest.raises(ValueError, match='strides is empty'):
        FLSLViTPyramid(4, strides=())
    with pytest.raises(ValueError, match="got 'LN'"):
        FLSLViTPyramid(4, norm='LN')
    with pytest.raises(ValueError, match='got 1: give the backbone 4 out_indices'):
        pyramid(16)([torch.zeros(1, 4, 2, 2)])
