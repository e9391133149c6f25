"""The backbone: recorded tokens, shapes for any image size, freezing, checkpointing, drop path, bad options."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import MODELS
from torch.nn import functional as F

from flsl_mm.models import FLSLViT
from tests.builders.checkpoints import same
from tests.builders.reference import backbone_of, load, noise, official_part

TINY = dict(embed_dim=16, depth=3, num_heads=2)


def tiny(**options) -> FLSLViT:
    torch.manual_seed(0)
    return FLSLViT(**dict(dict(arch=TINY, patch_size=8, img_size=32), **options))


@pytest.mark.recorded
@torch.no_grad()
def test_recorded_tokens():
    recorded = load('backbone_features')
    backbone = backbone_of(official_part('teacher', 'backbone'))
    inputs = sorted(int(key.removeprefix('shape_')) for key in recorded if key.startswith('shape_'))
    assert inputs
    for i in inputs:
        images = noise(recorded[f'input_seed_{i}'], recorded[f'shape_{i}'])
        stride = int(recorded.get(f'token_stride_{i}', 1))
        tokens = backbone(images)[-1][:, ::stride]
        torch.testing.assert_close(tokens, torch.from_numpy(recorded[f'teacher_tokens_{i}']), rtol=0, atol=1e-4)
    student = backbone_of(official_part('student', 'backbone'))
    student = student(noise(recorded['input_seed_0'], recorded['shape_0']))[-1]
    torch.testing.assert_close(student, torch.from_numpy(recorded['student_tokens_0']), rtol=0, atol=1e-4)


@given(height=st.integers(1, 70), width=st.integers(1, 70))
@settings(max_examples=20)
def test_any_image_size(height, width):
    backbone = tiny()
    features = backbone(torch.randn(2, 3, height, width))[0]
    assert features.shape == (2, 16, -(-height // 8), -(-width // 8))


def test_padding_is_zeros_on_the_right_and_bottom():
    backbone = tiny().eval()
    images = torch.randn(1, 3, 29, 43)
    assert torch.equal(backbone(images)[0], backbone(F.pad(images, (0, 5, 0, 3)))[0])


def test_out_indices_types_and_norm():
    images = torch.randn(1, 3, 32, 48)
    maps = tiny(out_indices=(0, -1)).eval()
    tokens = tiny(out_indices=(0, -1), out_type='tokens').eval()
    raw = tiny(out_indices=(0, -1), out_type='tokens', final_norm=False).eval()
    (first, last), (first_tokens, last_tokens), (first_raw, last_raw) = (model(images) for model in (maps, tokens, raw))
    assert first.shape == last.shape == (1, 16, 4, 6)
    assert torch.equal(first.flatten(2).transpose(1, 2), first_tokens)
    assert torch.equal(last.flatten(2).transpose(1, 2), last_tokens)
    assert torch.equal(first_raw, first_tokens)
    torch.testing.assert_close(raw.norm(last_raw), last_tokens)


def test_blocks_past_the_last_index_are_not_run():
    backbone = tiny(out_indices=(0,))
    ran = []
    for number, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda *args, number=number: ran.append(number))
    backbone(torch.randn(1, 3, 32, 32))
    assert ran == [0]


@pytest.mark.parametrize('stages', [-1, 0, 2, 3])
def test_frozen_stages(stages):
    backbone = tiny(frozen_stages=stages, drop_path_rate=0.5)
    backbone.train()
    frozen = {name.split('.')[0] for name, p in backbone.named_parameters() if not p.requires_grad} - {'pos_embed'}
    blocks = [not any(p.requires_grad for p in block.parameters()) for block in backbone.blocks]
    assert blocks == [i < stages for i in range(3)]
    assert [not block.training for block in backbone.blocks] == blocks
    assert ('patch_embed' in frozen) == (stages >= 0)
    assert ('norm' in frozen) == (stages == 3)


def test_checkpointing_changes_memory_not_gradients():
    images = torch.randn(2, 3, 32, 32)
    gradients = []
    for with_cp in (False, True):
        backbone = tiny(with_cp=with_cp)
        backbone(images)[0].square().sum().backward()
        gradients.append(backbone.patch_embed.proj.weight.grad)
    torch.testing.assert_close(*gradients)


def test_jittered_positions_in_training_only():
    """Of each image by itself, as the seed says; evaluation and the file are those of a backbone without the option."""
    plain, jittered = tiny(), tiny(position_jitter=dict(range=24, zoom=1.5))
    assert same(plain.state_dict(), jittered.state_dict())
    images = torch.randn(1, 3, 32, 48).expand(2, -1, -1, -1)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images)[0], jittered.eval()(images)[0])
        torch.manual_seed(1)
        first, second = jittered.train()(images)[0]
        assert not torch.allclose(first, second, atol=1e-2)
        torch.manual_seed(1)
        assert torch.equal(jittered(images)[0][0], first)
        assert not torch.allclose(jittered(images)[0][0], first, atol=1e-2)


def test_in_channels_and_registry():
    backbone = MODELS.build(dict(type='FLSLViT', arch=TINY, in_channels=5))
    assert backbone(torch.randn(1, 5, 64, 64))[0].shape == (1, 16, 4, 4)
    assert not backbone.pos_embed.requires_grad
    assert tiny(pos_embed='learned').pos_embed.requires_grad


def test_layer_depths():
    backbone = tiny()
    names = {
        'backbone.patch_embed.proj.weight': 0,
        'backbone.pos_embed': 0,
        'backbone.blocks.0.norm1.weight': 1,
        'backbone.blocks.2.mlp.fc1.weight': 3,
        'backbone.norm.weight': 4,
        'head.weight': 4,
    }
    for name, depth in names.items():
        assert backbone.get_layer_depth(name, 'backbone.') == (depth, 5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch=dict(embed_dim=16, depth=2, num_heads=3)), 'not divisible by num_heads 3'),
        (dict(out_type='map'), 'out_type must be'),
        (dict(out_indices=(3,)), 'out of range for 3 blocks'),
        (dict(out_indices=()), 'out_indices is empty'),
        (dict(pos_embed='rope'), r"pos_embed must be one of \('sincos', 'learned'\)"),
        (dict(pos_scale=-0.1), "0 or more, got -0.1 with 'sincos'"),
        (dict(pos_scale=float('nan')), "0 or more, got nan with 'sincos'"),
        (dict(pos_embed='learned', pos_scale=0.1), "of the sine-cosine plane and 0 or more, got 0.1 with 'learned'"),
        (dict(pos_embed='learned', position_jitter=dict(range=24)), "set pos_embed='sincos', or leave position_jitter"),
        (dict(arch=dict(embed_dim=6, depth=1, num_heads=1)), 'divisible by 4'),
    ],
)
def test_bad_options_give_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        tiny(**options)
    assert '\n' not in str(error.value)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('side', [16, 40, 37])
def test_traces_and_counts_of_operations_at_any_size(side):
    """MMEngine's counter (get_flops of OpenMMLab's tools) traces too; sizes are tensors then."""
    from mmengine.analysis import get_model_complexity_info

    model = FLSLViT(arch=dict(embed_dim=24, depth=1, num_heads=3), patch_size=8, img_size=16).eval()
    images = torch.randn(1, 3, side, side)
    torch.testing.assert_close(torch.jit.trace(model, images)(images), model(images))
    assert get_model_complexity_info(model, (3, side, side), show_table=False, show_arch=False)['flops'] > 0


def test_without_positions_a_patch_does_not_know_where_it_lies():
    """Moving the patches of an image moves their features, exactly."""
    backbone = tiny(pos_scale=0, out_type='tokens').eval()
    images = torch.randn(2, 3, 32, 32)
    moved = images.unflatten(3, (4, 8)).roll(1, 3).flatten(3)
    expected = backbone(images)[0].unflatten(1, (4, 4)).roll(1, 2).flatten(1, 2)
    torch.testing.assert_close(backbone(moved)[0], expected)
    assert not backbone.pos_embed.requires_grad
