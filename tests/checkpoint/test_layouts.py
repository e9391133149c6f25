"""Layouts of other programs: prefixes, wrappers, averaged weights; and those that are only called by their names."""

import re

import pytest
import torch

from flsl_mm.checkpoint import CheckpointError, find_backbone, load_backbone
from tests.builders.checkpoints import equal_states, prefixed, timm_vit, tiny


def mmpretrain_vit(**options):
    """Make mmpretrain's model of the same geometry as :func:`tiny`."""
    models = pytest.importorskip('mmpretrain.models')
    torch.manual_seed(5)
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=64)
    model = models.VisionTransformer(arch=arch, img_size=32, patch_size=8, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.train(False)
    return model


@torch.no_grad()
def test_mmpretrain_computes_the_same_features():
    model = mmpretrain_vit(out_type='featmap', with_cls_token=False)
    backbone = tiny(pos_embed='learned', out_type='featmap')
    line = load_backbone(backbone, dict(state_dict=prefixed('backbone.', model.state_dict())))
    assert 'loaded 29/29 backbone tensors from the checkpoint (mmpretrain vision transformer)' in line
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone(images)[0], model(images)[0])


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.backbone.'])
def test_mmpretrain_with_class_token_and_head(prefix):
    state = {**prefixed(prefix, mmpretrain_vit().state_dict()), 'head.layers.head.weight': torch.ones(5, 16)}
    backbone = tiny(pos_embed='learned')
    load_backbone(backbone, dict(state_dict=state))
    assert torch.equal(backbone.blocks[1].mlp.fc2.weight, state[f'{prefix}layers.1.ffn.layers.1.weight'])
    assert find_backbone(dict(state_dict=state)).ignored['cls_token'] == 1


def with_blocks(pattern: str) -> dict:
    return {re.sub(r'blocks\.(\d+)\.', pattern, name): tensor for name, tensor in STATE.items()}


STATE = tiny(3).state_dict()
WAYS = {
    'compiled': prefixed('_orig_mod.', STATE),
    'compiled, then wrapped': prefixed('module._orig_mod.', STATE),
    'each block compiled': with_blocks(r'blocks.\1._orig_mod.'),
    'recomputed': prefixed('encoder._checkpoint_wrapped_module.', STATE),
    'chunked': with_blocks(r'blocks.\1.\1.'),
    **{prefix: prefixed(prefix, STATE) for prefix in ('model.', 'encoder.', 'vit.', 'teacher_backbone.', 'model.vit.')},
    'entry module': dict(module=STATE),
    'entry encoder': dict(encoder=prefixed('module.', STATE)),
    'entries': dict(model=dict(module=dict(backbone=STATE))),
    'a teacher in entries': dict(teacher=dict(backbone=STATE)),
}


@pytest.mark.parametrize('way', WAYS)
def test_prefixes_wrappers_and_entries(way):
    backbone = tiny(4)
    load_backbone(backbone, WAYS[way])
    assert equal_states(backbone, tiny(3))


RAW, MEAN = tiny(1).state_dict(), tiny(2).state_dict()
AVERAGED = {
    'timm': (dict(state_dict=RAW, state_dict_ema=MEAN), "averaged weights, state_dict_ema; branch='student' takes sta"),
    'DeiT': (dict(model=RAW, model_ema=MEAN), "averaged weights, model_ema; branch='student' takes model"),
    'I-JEPA': (
        dict(encoder=prefixed('module.', RAW), target_encoder=prefixed('module.', MEAN)),
        "averaged weights, target_encoder; branch='student' takes encoder",
    ),
    'solo-learn': (
        dict(state_dict={**prefixed('backbone.', RAW), **prefixed('momentum_backbone.', MEAN)}),
        r"averaged weights, momentum_backbone\.\*; branch='student' takes the others",
    ),
}


@pytest.mark.parametrize('program', AVERAGED)
def test_averaged_weights_are_the_teacher(program):
    checkpoint, words = AVERAGED[program]
    backbone = tiny(4)
    assert re.search(words, load_backbone(backbone, checkpoint))
    assert equal_states(backbone, tiny(2))
    assert 'averaged' not in load_backbone(backbone, checkpoint, 'student')
    assert equal_states(backbone, tiny(1))


@pytest.mark.parametrize(
    ('state', 'words'),
    [
        ({**prefixed('model.', RAW), **prefixed('vit.', MEAN)}, r'several vision transformers, model\. and vit\.'),
        ({**MEAN, 'a\n\x1b[31mb': torch.ones(1)}, r"unusable name 'a\\n\\x1b\[31mb'"),
        ({**prefixed('module.', RAW), **MEAN}, 'two tensors are called .*, with and without a wrapper'),
    ],
)
def test_what_could_be_two_is_refused(state, words):
    with pytest.raises(CheckpointError, match=words):
        find_backbone(state)


ADDED = {
    'iBOT': 'masked_embed',
    'MAE with its decoder': 'decoder_blocks.0.norm1.weight',
    'DINOv3': 'storage_tokens',
    'BEiT': 'blocks.0.gamma_1',
    'DINOv2': 'register_tokens',
}
REPLACED = {
    'MoCo-v3': 'module.base_encoder.patch_embed.proj.weight',
    'Hugging Face transformers': 'vit.embeddings.patch_embeddings.projection.weight',
    'torchvision': 'conv_proj.weight',
    'CLIP': 'visual.transformer.resblocks.0.ln_1.weight',
}


@pytest.mark.parametrize(('layout', 'name'), [*ADDED.items(), *REPLACED.items()])
def test_layouts_that_are_not_read_are_named(layout, name):
    state = timm_vit().state_dict() if layout in ADDED else {}
    with pytest.raises(CheckpointError, match=rf'\(the layout of {layout}.*, which is not read\)') as error:
        load_backbone(tiny(pos_embed='learned'), {**state, name: torch.ones(1, 16)})
    assert '\n' not in str(error.value)


def test_an_unknown_layout_has_no_name():
    with pytest.raises(CheckpointError, match='no vision transformer') as error:
        load_backbone(tiny(), {'conv1.weight': torch.ones(1)})
    assert 'the layout of' not in str(error.value)
