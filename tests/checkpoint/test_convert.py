"""Conversion between layouts: both ways without loss, usable by timm, and a backbone file says all that is needed."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from flsl_mm.checkpoint import (
    CheckpointError,
    backbone_file,
    find_backbone,
    load_backbone,
    to_flsl,
    to_official,
    to_timm,
)
from flsl_mm.checkpoint.convert import complete_spec, split_branches
from flsl_mm.models import FLSLHead, FLSLViT
from tests.builders.checkpoints import ARCH, file_of, head_state, layouts, official, same, timm_vit, tiny, training
from tests.builders.reference import arch_of, load, noise, official_checkpoint, official_part


def test_ours_there_and_back():
    converted = to_official(training(), heads=2)
    assert {name.split('.')[0] for name in converted['student']} == {'module'}
    assert not converted['teacher']['backbone.cls_token'].any(), 'a class token that nobody had is zeros'
    assert same(to_flsl(converted)['state_dict'], training()['state_dict'])


def test_converted_training_checkpoint_keeps_its_heads():
    with pytest.raises(CheckpointError, match='num_heads 2 in the file and 4 in the config'):
        load_backbone(tiny(arch={**ARCH, 'num_heads': 4}), to_flsl(official()))
    assert 'heads not recorded' not in load_backbone(tiny(), to_flsl(official()), 'student')


def test_head_loads_after_conversion():
    state = to_flsl(official())['state_dict']
    head = FLSLHead(16, num_prototypes=8, hidden_channels=(12,), bottleneck_channels=6)
    head.load_state_dict({name.removeprefix('head.'): t for name, t in state.items() if name.startswith('head.')})
    assert same({f'head.{name}': t for name, t in head.state_dict().items()}, head_state(1))


@pytest.mark.parametrize('target', [to_flsl, to_official, to_timm])
@pytest.mark.parametrize('layout', layouts())
def test_from_every_layout(layout, target):
    checkpoint, expected, options = layouts()[layout]
    backbone = tiny(99, **options)
    load_backbone(backbone, target(checkpoint, heads=2))
    assert same(backbone.state_dict(), expected.state_dict())


def test_class_tokens_learned_positions_are_no_flsl_training():
    """DINO's layout is the official one, but its student and teacher are not a training that FLSL can go on with."""
    checkpoint = layouts()['DINO'][0]
    assert to_flsl(checkpoint, heads=2)['meta']['format'] == 'flsl_mm-backbone'
    assert set(to_official(checkpoint, heads=2)) == {'teacher', 'args', 'epoch'}


def test_backbone_file_is_complete():
    assert to_flsl(official(), branch='teacher')['meta']['mean'] == [0.485, 0.456, 0.406]
    file = layouts()['backbone file'][0]
    assert to_flsl(file)['meta'] == file['meta']
    assert to_flsl(timm_vit().state_dict(), heads=2)['meta']['mean'] is None
    assert to_flsl(timm_vit().state_dict(), heads=2)['meta']['pos_embed'] == 'learned'


def test_backbone_file_needs_no_allowed_names(tmp_path):
    torch.save(file_of(tiny(3)), tmp_path / 'a.pth')
    saved = torch.load(tmp_path / 'a.pth', weights_only=True)
    meta = saved['meta']
    assert set(saved['state_dict']) == set(tiny().state_dict())
    assert meta['arch'] == {**ARCH, 'mlp_ratio': 4.0}
    assert (meta['patch_size'], meta['img_size'], meta['pos_embed'], meta['pos_resize']) == (8, 32, 'sincos', 'offset')
    assert (meta['mean'], meta['std']) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    rebuilt = FLSLViT(meta['arch'], meta['patch_size'], meta['img_size'], pos_embed=meta['pos_embed'])
    load_backbone(rebuilt, saved)
    torch.save(backbone_file(tiny(), mean=np.full(3, 0.5).tolist(), std=tuple(np.full(3, 0.2))), tmp_path / 'b.pth')
    assert torch.load(tmp_path / 'b.pth', weights_only=True)['meta']['std'] == [0.2, 0.2, 0.2]
    with pytest.raises(ValueError, match='divide both by 255'):
        backbone_file(tiny(), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def test_the_documented_timm_model_takes_the_tensors():
    options = dict(class_token=False, global_pool='avg', fc_norm=False, num_classes=0)
    model = timm.create_model('vit_tiny_patch16_224', pretrained=False, **options)
    backbone = FLSLViT('tiny')
    model.load_state_dict(to_timm(backbone.state_dict()))
    assert torch.equal(model.blocks[3].attn.qkv.weight, backbone.blocks[3].attn.qkv.weight)


def test_heads_of_the_usual_widths_are_known_and_others_asked_for():
    bare = dict(tiny().state_dict())
    assert to_flsl(FLSLViT('tiny').state_dict())['meta']['arch']['num_heads'] == 3
    with pytest.raises(CheckpointError, match='give it with --heads'):
        to_flsl(bare)
    with pytest.raises(CheckpointError, match='the file says 2 heads, not 4'):
        to_flsl(official(), heads=4)
    with pytest.raises(CheckpointError, match='not split into 5'):
        to_flsl(bare, heads=5)


def test_incomplete_and_malformed_files():
    bare = dict(tiny().state_dict())
    with pytest.raises(CheckpointError, match='incomplete'):
        to_timm({name: tensor for name, tensor in bare.items() if name != 'pos_embed'}, heads=2)
    odd = dict(layouts()['backbone file'][0])
    odd['meta'] = {**odd['meta'], 'mean': 'text'}
    with pytest.raises(CheckpointError, match="the file says mean 'text', which no backbone has"):
        to_flsl(odd)


def spoiled(checkpoint: dict, key: str, old: str, new: str | None = None) -> dict:
    """Rename a tensor in a part of a checkpoint, or halve it."""
    state = {(new if name == old and new else name): tensor for name, tensor in checkpoint[key].items()}
    if new is None:
        state[old] = state[old][: len(state[old]) // 2]
    return {**checkpoint, key: state}


def with_extra(name: str) -> dict:
    return dict(model={**timm_vit().state_dict(), name: torch.ones(16)})


@pytest.mark.parametrize('target', [to_flsl, to_official, to_timm])
@pytest.mark.parametrize(
    ('checkpoint', 'line'),
    [
        (
            spoiled(file_of(tiny()), 'state_dict', 'blocks.1.norm2.bias', 'blocks.1.norm3.bias'),
            r'1 of 29 backbone tensors are missing: blocks\.1\.norm2\.bias',
        ),
        (
            spoiled(file_of(tiny()), 'state_dict', 'norm.bias'),
            r'1 of 29 backbone tensors do not fit: norm\.bias',
        ),
        (
            with_extra('blocks.0.ls1.gamma'),
            r'ls1\.gamma \(the layout of DINOv2.*not read\)',
        ),
        (
            with_extra('decoder_embed.bias'),
            r'decoder_embed\.bias \(the layout of MAE.*not read\)',
        ),
        (
            spoiled(official(), 'student', 'module.backbone.blocks.0.norm1.bias'),
            r"1 of 29 student's backbone tensors do not fit",
        ),
        (
            spoiled(official(), 'teacher', 'head.mlp.2.weight', 'head.mlp.2.wait'),
            r"1 of 6 teacher's head tensors are missing: head\.mlp\.2\.weight",
        ),
        (spoiled(official(), 'teacher', 'head.last_layer.weight_v', 'head.v'), r"the teacher's head is incomplete"),
        (
            spoiled(official(), 'teacher', 'head.last_layer.weight_g'),
            r"1 of 6 teacher's head tensors do not fit: head\.last_layer\.parametrizations",
        ),
    ],
)
def test_nothing_is_converted_that_could_not_be_loaded(checkpoint, line, target):
    with pytest.raises(CheckpointError, match=line):
        target(checkpoint, heads=2)


def test_a_damaged_head_does_not_matter_to_a_backbone_alone():
    checkpoint = spoiled(official(), 'teacher', 'head.mlp.2.weight', 'head.mlp.2.wait')
    assert same(to_flsl(checkpoint, 'teacher')['state_dict'], tiny(2).state_dict())


@pytest.mark.recorded
@torch.no_grad()
def test_recorded_logits_after_conversion():
    """The converted teacher, backbone and head, gives the recorded logits."""
    recorded, checkpoint = load('backbone_features'), official_checkpoint()
    state = to_flsl(checkpoint)['state_dict']
    teacher = {name.removeprefix('teacher.'): t for name, t in state.items() if name.startswith('teacher.')}
    part = official_part('teacher', 'backbone')
    spec = complete_spec(find_backbone(checkpoint).spec)
    assert spec.arch == arch_of(part)
    backbone = FLSLViT(spec.arch, spec.patch_size, spec.img_size, out_type='tokens')
    load_backbone(backbone, to_flsl(checkpoint))
    widths = [len(teacher[name]) for name in sorted(teacher) if name.startswith('head.mlp') and name.endswith('bias')]
    prototypes = len(split_branches(checkpoint)['teacher']['head.last_layer.weight_v'])
    head = FLSLHead(backbone.embed_dim, prototypes, widths[:-1], widths[-1])
    head.load_state_dict({name.removeprefix('head.'): t for name, t in teacher.items() if name.startswith('head.')})
    logits = head(backbone.eval()(noise(recorded['input_seed_0'], recorded['shape_0']))[-1])
    torch.testing.assert_close(logits, torch.from_numpy(recorded['teacher_logits_0']), rtol=0, atol=1e-4)
