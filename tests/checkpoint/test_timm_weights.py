"""Published weights of timm's models: loaded whole under their own names, or refused in a line."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from flsl_mm.checkpoint import CheckpointError, check_backbone_file, load_backbone
from flsl_mm.models.spec import IMAGENET_MEAN
from tests.builders.timm_families import FAMILIES, TINY, every_family, tiny_timm, visible


def published(name: str, seed: int = 5) -> dict:
    """Make what timm publishes for a family: with heads, pooling and positions of the size of its name."""
    torch.manual_seed(seed)
    return visible(timm.create_model(name, **TINY, num_classes=7)).state_dict()


@every_family
def test_a_file_of_timm_gives_the_features_of_its_model(name, tmp_path):
    state = published(name)
    save_file(state, tmp_path / 'model.safetensors')
    backbone = tiny_timm(name, seed=1)
    line = load_backbone(backbone, tmp_path / 'model.safetensors')
    count = len(backbone.vit.state_dict())
    assert f'loaded {count}/{count} tensors of {name} from {tmp_path}/model.safetensors' in line
    loaded = backbone.vit.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in loaded)
    left = {key.split('.')[0] for key in set(state) - set(loaded)}
    assert 'head' in left
    assert all(part in line for part in left)
    others = ('eva02', 'vit_base_patch16_si', 'vit_base_patch16_cl')
    assert (backbone.spec.mean != IMAGENET_MEAN) == name.startswith(others)


@pytest.mark.parametrize('prefix', ['backbone.vit.', 'module.backbone.', 'teacher.backbone.vit.'])
def test_a_backbone_in_a_larger_model(prefix):
    state = published(FAMILIES['DINO'])
    below = {f'{prefix}{key}': value for key, value in state.items()} | {'head.conv.weight': torch.ones(1)}
    backbone = tiny_timm(FAMILIES['DINO'], seed=1)
    load_backbone(backbone, dict(state_dict=below))
    assert torch.equal(backbone.vit.state_dict()['norm.bias'], state['norm.bias'])


def test_the_official_layout_of_dinov2_and_a_teacher():
    """With its mask token, from which timm knows it, and positions of 37x37 as published."""
    name = FAMILIES['DINOv2 with registers']
    state = published(name)
    official = {key.replace('reg_token', 'register_tokens'): value for key, value in state.items() if 'head' not in key}
    official['mask_token'] = torch.zeros(1, 32)
    official['pos_embed'] = torch.cat([torch.zeros(1, 1, 32), state['pos_embed']], dim=1)
    backbone = tiny_timm(name, seed=1)
    load_backbone(backbone, dict(teacher=official))
    loaded = backbone.vit.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in loaded if key != 'cls_token')


def test_positions_of_another_size_are_resized():
    state = published(FAMILIES['DINO'])
    torch.manual_seed(0)
    backbone = tiny_timm(FAMILIES['DINO'])
    state['pos_embed'] = torch.randn(1, 1 + 10 * 10, 32)
    load_backbone(backbone, state)
    assert backbone.vit.pos_embed.shape == (1, 197, 32)
    assert torch.equal(backbone.vit.pos_embed[:, 0], state['pos_embed'][:, 0])


def without(state: dict, key: str) -> dict:
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (lambda state: without(state, 'blocks.1.attn.proj.bias'), '1 of 30 .* are missing: blocks.1.attn'),
        (lambda state: without(state, 'cls_token'), 'tensors are missing: cls_token'),
        (lambda state: state | {'blocks.2.norm1.bias': torch.ones(32)}, '1 tensors have no place in vit_small_patch16'),
        (lambda state: state | {'norm.bias': torch.ones(16)}, r'norm.bias \(16,\) instead of \(32,\)'),
        (lambda state: state | {'norm.bias': torch.full((32,), torch.nan)}, 'NaN'),
        (
            lambda state: state | {'patch_embed.proj.weight': torch.ones(32, 3, 14, 14)},
            'patches of 14 pixels in the file and of 16 in the model',
        ),
        (lambda state: dict(a=torch.ones(3)), 'tensors are missing'),
    ],
    ids=['a tensor less', 'no class token', 'a block more', 'narrower', 'NaN', 'other patches', 'something else'],
)
def test_all_weights_or_none(change, line, tmp_path):
    backbone = tiny_timm(FAMILIES['DINO'])
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    torch.save(change(published(FAMILIES['DINO'])), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=line) as raised:
        load_backbone(backbone, tmp_path / 'a.pth')
    assert str(raised.value).startswith(str(tmp_path / 'a.pth'))
    assert '\n' not in str(raised.value)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert backbone.spec.mean is None


def test_files_are_checked_before_data(tmp_path):
    torch.save(published(FAMILIES['DINO']), tmp_path / 'dino.pth')
    check_backbone_file(tiny_timm(FAMILIES['DINO']), tmp_path / 'dino.pth')
    with pytest.raises(CheckpointError, match='patches of 16 pixels in the file and of 14'):
        check_backbone_file(tiny_timm(FAMILIES['DINOv2']), tmp_path / 'dino.pth')
