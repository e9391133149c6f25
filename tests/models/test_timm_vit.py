"""timm's vision transformers: the same outputs as the FLSL backbone's, at any size, of any family."""

import copy
import logging
import math

import pytest
import timm
import torch

from flsl_mm.models import TimmViT
from tests.builders.timm_families import FAMILIES, TINY, every_family, tiny_timm, visible

DINO, DINOV2 = FAMILIES['DINO'], FAMILIES['DINOv2']


@every_family
def test_tokens_are_timms_own_after_the_norm(name):
    """At the size of the position table, where nothing is resized; class and register tokens left out."""
    backbone = tiny_timm(name, out_type='tokens', out_indices=(0, -1))
    torch.manual_seed(0)
    original = visible(timm.create_model(name, **TINY)).eval()
    original.load_state_dict(backbone.vit.state_dict(), strict=False)
    images = torch.randn(1, 3, *original.patch_embed.img_size)
    first, last = backbone(images)
    prefix = original.num_prefix_tokens
    tokens = original.forward_features(images)[:, prefix:]
    expected = original.fc_norm(tokens) if isinstance(original.norm, torch.nn.Identity) else tokens
    assert torch.allclose(last, expected, atol=1e-5)
    assert first.shape == last.shape == (1, original.patch_embed.num_patches, 32)
    assert not torch.allclose(first, last, atol=1e-2)


@every_family
def test_maps_of_any_size(name):
    backbone = tiny_timm(name, out_indices=(0, 1, 1, -1))
    size = backbone.patch_size
    maps = backbone(torch.randn(2, 3, 3 * size - 5, 4 * size))
    assert [tuple(each.shape) for each in maps] == [(2, 32, 3, 4)] * 4
    padded = torch.nn.functional.pad(torch.ones(1, 3, 3 * size - 5, 4 * size), (0, 0, 0, 5))
    assert torch.equal(backbone(padded)[-1], backbone(padded[:, :, :-5])[-1])


def dino_tokens(vit: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the patch tokens of DINO's vision_transformer.py, rewritten line by line, on a timm model's weights."""
    height, width = images.shape[-2:]
    tokens = vit.patch_embed.proj(images).flatten(2).transpose(1, 2)
    patch_pos_embed = vit.pos_embed[:, 1:]
    dim, side = tokens.shape[-1], int(math.sqrt(patch_pos_embed.shape[1]))
    w0, h0 = height // 16 + 0.1, width // 16 + 0.1  # DINO calls the first side w
    maps = patch_pos_embed.reshape(1, side, side, dim).permute(0, 3, 1, 2)
    patch_pos_embed = torch.nn.functional.interpolate(maps, scale_factor=(w0 / side, h0 / side), mode='bicubic')
    pos_embed = torch.cat([vit.pos_embed[:, :1], patch_pos_embed.permute(0, 2, 3, 1).reshape(1, -1, dim)], dim=1)
    tokens = torch.cat([vit.cls_token.expand(len(images), -1, -1), tokens], dim=1) + pos_embed
    for block in vit.blocks:
        tokens = block(tokens)
    return vit.norm(tokens)[:, 1:]


@pytest.mark.parametrize('size', [(96, 176), (240, 272)], ids=['smaller', 'larger'])
def test_dinos_resize_of_positions(size):
    """The features of DINO's own programs, to rounding; timm resizes otherwise."""
    backbone = tiny_timm(DINO, out_type='tokens', pos_resize='offset')
    torch.nn.init.normal_(backbone.vit.pos_embed)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, (tokens,) = dino_tokens(backbone.vit, images), backbone(images)
        assert (tokens - expected).abs().max() < 5e-6
        timms = tiny_timm(DINO, out_type='tokens')
        timms.vit.load_state_dict(backbone.vit.state_dict())
        assert (timms(images)[0] - expected).abs().max() > 0.01
        other = copy.deepcopy(backbone)
        other.vit.pos_embed.zero_()
        assert (other(images)[0] - tokens).abs().max() > 0.01
        assert torch.equal(backbone(images)[0], tokens)


@pytest.mark.parametrize('family', ['DINO', 'DINOv2', 'DINOv2 with registers', 'SigLIP', 'CLIP'])
def test_dinos_resize_leaves_the_size_of_the_table_alone(family):
    """Class and register tokens are where timm has them."""
    images = torch.randn(1, 3, *tiny_timm(FAMILIES[family]).vit.patch_embed.img_size)
    timms, dinos = (tiny_timm(FAMILIES[family], pos_resize=mode) for mode in ('size', 'offset'))
    assert torch.allclose(timms(images)[0], dinos(images)[0], atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'mode', 'line'),
    [
        (DINO, 'nearest', "pos_resize must be 'offset' or 'size', got 'nearest'"),
        (FAMILIES['DINOv3'], 'offset', 'vit_small_patch16_dinov3.lvd1689m has others'),
        (FAMILIES['EVA-02'], 'offset', "eva02_\\S+ has others, leave pos_resize='size'"),
    ],
)
def test_other_ways_to_resize_positions_are_refused(name, mode, line):
    with pytest.raises(ValueError, match=line):
        tiny_timm(name, pos_resize=mode)


def test_a_stride_of_its_own_resizes_images_to_whole_patches():
    backbone = tiny_timm(DINOV2, stride=16)
    (features,) = backbone(torch.randn(1, 3, 64, 90))
    assert features.shape == (1, 32, 4, 6)
    images, grid_hw = backbone.fit(torch.ones(1, 3, 64, 96))
    assert (images.shape[2:], grid_hw) == ((56, 84), (4, 6))
    assert torch.allclose(images, torch.ones(()), atol=1e-4)
    assert backbone.patch_size == 16


@every_family
def test_every_trained_parameter_gets_a_gradient(name):
    """Distributed training stops at one that does not: heads and an unread norm must be out of the way."""
    for options in (dict(out_indices=(0, 1), final_norm=False), dict(frozen_stages=1), dict(with_cp=True)):
        backbone = tiny_timm(name, **options).train()
        sum(each.square().sum() for each in backbone(torch.randn(1, 3, 48, 48))).backward()
        trained = {key: parameter for key, parameter in backbone.named_parameters() if parameter.requires_grad}
        assert [key for key, parameter in trained.items() if parameter.grad is None] == []
        if 'frozen_stages' in options:
            assert all(key.startswith(('vit.blocks.1.', 'vit.norm.', 'vit.fc_norm.')) for key in trained)
            assert not backbone.vit.blocks[0].training


@every_family
def test_initialization_keeps_the_weights_of_a_file(name, tmp_path):
    """MMEngine initializes what has an ``init_weights`` after it has loaded the file of ``init_cfg``."""
    pytest.importorskip('mmengine')
    trained = tiny_timm(name, seed=3)
    torch.save(trained.vit.state_dict(), tmp_path / 'vit.pth')
    backbone = tiny_timm(name, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth')))
    backbone.init_weights()
    states = zip(trained.state_dict().items(), backbone.state_dict().values(), strict=True)
    assert [key for (key, there), here in states if not torch.equal(there, here)] == []


def test_depths_for_layer_decay():
    depths = {
        key: tiny_timm(DINO).get_layer_depth(f'backbone.{key}', 'backbone.')
        for key in ('vit.pos_embed', 'vit.cls_token', 'vit.blocks.1.norm1.weight', 'vit.norm.bias')
    }
    assert list(depths.values()) == [(0, 4), (0, 4), (2, 4), (3, 4)]


def test_the_spec_builds_the_same_network_and_survives_a_checkpoint():
    backbone = tiny_timm(DINOV2, stride=16, pos_resize='offset')
    again = TimmViT.from_spec(backbone.spec)
    assert again.spec == backbone.spec
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in backbone.state_dict().items()}
    backbone.note_input()
    again.load_state_dict(backbone.state_dict())
    assert again.spec == backbone.spec != tiny_timm(DINOV2, stride=16, pos_resize='offset').spec


@pytest.mark.parametrize(
    ('name', 'line'),
    [
        ('vit_smal_patch14_dinov2.lvd142m', 'has no model .vit_smal_.*: vit_small_patch14_dinov2, '),
        ('swin_tiny_patch4_window7_224', 'swin_tiny_patch4_window7_224 is not a plain vision transformer.*DINOv2'),
        ('resnet18', 'resnet18 is not a plain vision transformer.*DINOv2'),
    ],
)
def test_other_models_are_refused(name, line):
    with pytest.raises(ValueError, match=line):
        TimmViT(name)


def test_weights_that_cannot_be_fetched(monkeypatch, caplog):
    """What timm raises without a network becomes one line; nothing is fetched unless it is asked for."""
    create, asked = timm.create_model, []

    def offline(*arguments, pretrained=False, **options):
        asked.append(pretrained)
        if pretrained:
            logging.getLogger('huggingface_hub').warning('Retrying in 1s')
            raise RuntimeError('Name or service\nnot known. Try again')
        return create(*arguments, **options)

    monkeypatch.setattr(timm, 'create_model', offline)
    TimmViT(DINO, TINY)
    assert asked == [False]
    with pytest.raises(OSError, match=r'the weights of \S+dino \(RuntimeError: Name or service not known\): without'):
        TimmViT(DINO, TINY, pretrained=True)
    assert 'Retrying' not in caplog.text
    logging.getLogger('huggingface_hub').warning('of something else')
    assert 'of something else' in caplog.text
