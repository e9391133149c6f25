"""timm's vision transformers: the same outputs as the FLSL backbone's, at any size, of any family."""

import logging

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
    backbone = tiny_timm(DINOV2, stride=16)
    again = TimmViT.from_spec(backbone.spec)
    assert again.spec == backbone.spec
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in backbone.state_dict().items()}
    backbone.note_input()
    again.load_state_dict(backbone.state_dict())
    assert again.spec == backbone.spec != tiny_timm(DINOV2, stride=16).spec


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
