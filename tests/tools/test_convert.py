"""The converter: both ways without loss, usable by timm, and one line for every mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch

from flsl_mm.checkpoint import CheckpointError, load_backbone, read_checkpoint, to_flsl, to_official, to_timm
from flsl_mm.checkpoint.convert import describe_found, split_branches
from flsl_mm.checkpoint.layouts import find_backbone
from flsl_mm.models import FLSLHead, FLSLViT
from tests.checkpoint.cases import ARCH, head_state, layouts, official, timm_vit, tiny, training
from tests.reference import FOLDER, arch_of, load, noise, official_checkpoint, official_part
from tools.model_converters import convert


def same(a: dict, b: dict) -> bool:
    return set(a) == set(b) and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def run(*arguments) -> int:
    return convert.main([str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path) -> Path:
    torch.save(official(), tmp_path / 'official.pth')
    return tmp_path / 'official.pth'


def test_official_there_and_back(source, tmp_path, capsys):
    assert run(source, tmp_path / 'flsl.pth', '--to', 'flsl') == 0
    assert run(tmp_path / 'flsl.pth', tmp_path / 'back.pth', '--to', 'official') == 0
    ours, back = read_checkpoint(tmp_path / 'flsl.pth'), read_checkpoint(tmp_path / 'back.pth')
    assert same(ours['state_dict'], training()['state_dict'])
    for branch in ('student', 'teacher'):
        assert same(official()[branch], back[branch])
    assert (back['epoch'], back['args'].patch_size, back['args'].out_dim) == (3, 8, 8)
    line = f'{source} -> {tmp_path / "flsl.pth"} (flsl): state_dict 70 tensors\n'
    assert capsys.readouterr().out.startswith(line)


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


@pytest.mark.parametrize('branch', ['teacher', 'student'])
@pytest.mark.parametrize('target', ['flsl', 'official', 'timm'])
def test_one_branch(source, tmp_path, target, branch):
    assert run(source, tmp_path / 'a.pth', '--to', target, '--branch', branch) == 0
    backbone = tiny(99)
    load_backbone(backbone, tmp_path / 'a.pth', branch=branch)
    assert same(backbone.state_dict(), tiny(1 if branch == 'student' else 2).state_dict())
    converted = read_checkpoint(tmp_path / 'a.pth')
    assert not [name for name in converted.get('state_dict', converted) if name.startswith('head')]
    assert {'student', 'teacher'} & set(converted) == ({branch} if target == 'official' else set())


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


@torch.no_grad()
def test_timm_computes_the_same_tokens(source, tmp_path):
    run(source, tmp_path / 'timm.pth', '--to', 'timm')
    model = timm_vit(class_token=False, global_pool='', num_classes=0)
    model.load_state_dict(torch.load(tmp_path / 'timm.pth', weights_only=True))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.forward_features(images), tiny(2)(images)[0])


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
    odd['meta'] = {**odd['meta'], 'arch': 'small', 'mean': 'text', 'patch_size': [8]}
    assert to_flsl(odd, heads=2)['meta']['mean'] is None


def test_command_line_errors(source, tmp_path, capsys):
    (tmp_path / 'page.pth').write_text('<html>')
    target = tmp_path / 'new' / 'a.pth'
    for bad, words in ((tmp_path / 'none.pth', 'does not exist'), (tmp_path / 'page.pth', 'web page')):
        assert run(bad, target, '--to', 'flsl') == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ')
        assert words in error
        assert error.count('\n') == 1
    assert not target.parent.exists()
    assert run(source, target, '--to', 'flsl') == 0
    before = target.read_bytes()
    assert run(source, target, '--to', 'timm') == 2
    assert 'give --force' in capsys.readouterr().err
    assert target.read_bytes() == before
    assert run(source, target, '--to', 'timm', '--force') == 0
    assert os.listdir(target.parent) == ['a.pth']


@pytest.mark.recorded
def test_recorded_checkpoint_there_and_back(tmp_path):
    assert run(FOLDER / 'official_checkpoint.pth', tmp_path / 'flsl.pth', '--to', 'flsl') == 0
    assert run(tmp_path / 'flsl.pth', tmp_path / 'back.pth', '--to', 'official') == 0
    original, back = official_checkpoint(), read_checkpoint(tmp_path / 'back.pth')
    for branch in ('student', 'teacher'):
        assert same(original[branch], back[branch])
    assert back['epoch'] == original['epoch']
    for name in ('arch', 'patch_size', 'out_dim'):
        assert getattr(back['args'], name) == getattr(original['args'], name)


@pytest.mark.recorded
@torch.no_grad()
def test_recorded_logits_after_conversion():
    """The converted teacher, backbone and head, gives the recorded logits."""
    recorded, checkpoint = load('backbone_features'), official_checkpoint()
    state = to_flsl(checkpoint)['state_dict']
    teacher = {name.removeprefix('teacher.'): t for name, t in state.items() if name.startswith('teacher.')}
    part = official_part('teacher', 'backbone')
    description = describe_found(find_backbone(checkpoint))
    assert description['arch'] == arch_of(part)
    backbone = FLSLViT(description['arch'], description['patch_size'], description['img_size'], out_type='tokens')
    load_backbone(backbone, to_flsl(checkpoint))
    widths = [len(teacher[name]) for name in sorted(teacher) if name.startswith('head.mlp') and name.endswith('bias')]
    prototypes = len(split_branches(checkpoint)['teacher']['head.last_layer.weight_v'])
    head = FLSLHead(backbone.embed_dim, prototypes, widths[:-1], widths[-1])
    head.load_state_dict({name.removeprefix('head.'): t for name, t in teacher.items() if name.startswith('head.')})
    logits = head(backbone.eval()(noise(recorded['input_seed_0'], recorded['shape_0']))[-1])
    torch.testing.assert_close(logits, torch.from_numpy(recorded['teacher_logits_0']), rtol=0, atol=1e-4)
