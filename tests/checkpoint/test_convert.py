"""Conversion between layouts: both ways without loss, usable by timm, and a backbone file says all that is needed."""

import numpy as np
import pytest
import timm
import torch

from flsl_mm.checkpoint import CheckpointError, find_backbone, load_backbone, to_flsl, to_official, to_timm
from flsl_mm.checkpoint.convert import backbone_file, complete_spec
from flsl_mm.models import FLSLViT
from tests.builders.checkpoints import file_of, layouts, official, same, timm_vit, tiny, training
from tests.builders.reference import arch_of, head_of, load, noise, official_checkpoint, official_part


def test_ours_there_and_back():
    converted = to_official(training(), heads=2)
    assert {name.split('.')[0] for name in converted['student']} == {'module'}
    assert not converted['teacher']['backbone.cls_token'].any(), 'a class token that nobody had is zeros'
    for official_file in (converted, official()):
        assert same(to_flsl(official_file)['state_dict'], training()['state_dict'])
    assert 'heads not recorded' not in load_backbone(tiny(), to_flsl(official()), 'student')


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
    content = backbone_file(tiny(3), mean=np.full(3, 0.5).tolist(), std=tuple(np.full(3, 0.2)))
    assert repr(content['meta']['std']) == '[0.2, 0.2, 0.2]', 'plain numbers'
    torch.save(content, tmp_path / 'a.pth')
    saved = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert saved['meta'] == content['meta']
    assert same(saved['state_dict'], tiny(3).state_dict())


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


@pytest.mark.parametrize('target', [to_flsl, to_official, to_timm])
@pytest.mark.parametrize(
    ('content', 'changes', 'line'),
    [
        (file_of(tiny()), ('state_dict', 'blocks.1.norm2.bias', 'x'), r'1 of 29 .* missing: blocks\.1\.norm2\.bias'),
        (file_of(tiny()), ('state_dict', 'norm.bias'), r'1 of 29 backbone tensors do not fit: norm\.bias'),
        (official(), ('student', 'module.backbone.blocks.0.norm1.bias'), "1 of 29 student's .* do not fit"),
        (official(), ('teacher', 'head.mlp.2.weight', 'x'), r"1 of 6 teacher's .* missing: head\.mlp\.2\.weight"),
        (official(), ('teacher', 'head.last_layer.weight_v', 'x'), "the teacher's head is incomplete"),
        (official(), ('teacher', 'head.last_layer.weight_g'), "1 of 6 teacher's head .* not fit: head.last_layer"),
    ],
)
def test_nothing_is_converted_that_could_not_be_loaded(content, changes, line, target):
    with pytest.raises(CheckpointError, match=line):
        target(spoiled(content, *changes), heads=2)


@pytest.mark.parametrize('target', [to_flsl, to_official, to_timm])
def test_another_layout_is_not_converted(target):
    with pytest.raises(CheckpointError, match=r'ls1\.gamma \(the layout of DINOv2.*not read\)'):
        target(dict(model={**timm_vit().state_dict(), 'blocks.0.ls1.gamma': torch.ones(16)}), heads=2)


def test_a_damaged_head_does_not_matter_to_a_backbone_alone():
    checkpoint = spoiled(official(), 'teacher', 'head.mlp.2.weight', 'head.mlp.2.wait')
    assert same(to_flsl(checkpoint, 'teacher')['state_dict'], tiny(2).state_dict())


@pytest.mark.recorded
@torch.no_grad()
def test_recorded_logits_after_conversion():
    recorded, checkpoint = load('backbone_features'), official_checkpoint()
    state = to_flsl(checkpoint)['state_dict']
    spec = complete_spec(find_backbone(checkpoint).spec)
    assert spec.arch == arch_of(official_part('teacher', 'backbone'))
    backbone = FLSLViT(spec.arch, spec.patch_size, spec.img_size, out_type='tokens').eval()
    load_backbone(backbone, to_flsl(checkpoint))
    at = 'teacher.head.'
    head = head_of({name.removeprefix(at): tensor for name, tensor in state.items() if name.startswith(at)})
    logits = head(backbone(noise(recorded['input_seed_0'], recorded['shape_0']))[-1])
    torch.testing.assert_close(logits, torch.from_numpy(recorded['teacher_logits_0']), rtol=0, atol=1e-4)
