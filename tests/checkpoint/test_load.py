"""Loading a backbone: every layout, or one clear line and nothing changed."""

import argparse

import pytest
import torch
from torch import nn

from flsl_mm.checkpoint import CheckpointError, load_backbone
from flsl_mm.models.pos_embed import resize_pos_embed
from tests.builders.checkpoints import (
    ARCH,
    equal_states,
    file_of,
    layouts,
    official,
    timm_vit,
    tiny,
    training,
    with_meta,
)


@pytest.mark.parametrize('layout', layouts())
def test_every_layout(layout, tmp_path):
    checkpoint, expected, options = layouts()[layout]
    torch.save(checkpoint, tmp_path / 'a.pth')
    backbone = tiny(99, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')), **options)
    backbone.init_weights()
    images = torch.randn(2, 3, 40, 32)
    assert equal_states(expected, backbone)
    assert torch.equal(expected(images)[0], backbone(images)[0])


@pytest.mark.parametrize('checkpoint', [official(), training()])
def test_branches(checkpoint):
    for branch, expected in (('student', tiny(1)), ('teacher', tiny(2))):
        backbone = tiny(99)
        load_backbone(backbone, checkpoint, branch)
        assert equal_states(expected, backbone)


def test_the_printed_line(monkeypatch, tmp_path):
    printed = []
    monkeypatch.chdir(tmp_path)
    torch.save(official(), 'a.pth')
    monkeypatch.setattr('flsl_mm.checkpoint.load.print_log', lambda line, logger: printed.append((logger, line)))
    line = load_backbone(tiny(), 'a.pth')
    assert line == (
        'loaded 29/29 backbone tensors from a.pth (teacher-student checkpoint, teacher); '
        'ignored cls_token, head.* (6); positions 4x4'
    )
    assert printed == [('current', line)]
    line = load_backbone(tiny(), training(), branch='student')
    assert '(FLSL training checkpoint, student); ignored head.* (6), teacher.* (35);' in line
    assert line.endswith('; heads not recorded in the file, 2 as configured')
    assert load_backbone(tiny(pos_scale=0.1), file_of(tiny(pos_scale=0.1))).endswith('; positions 4x4 of scale 0.1')
    line = load_backbone(tiny(pos_resize='size', img_size=48), file_of(tiny()))
    assert line.endswith("positions 4x4 -> 6x6; position resize 'offset' in the file, 'size' as configured")


@pytest.mark.parametrize(
    ('mode', 'kind', 'scale'),
    [('offset', 'learned', None), ('size', 'learned', None), ('offset', 'sincos', None), ('size', 'sincos', 0.1)],
)
def test_positions_of_another_grid_are_resized(mode, kind, scale):
    source = tiny(3, pos_embed=kind, pos_scale=scale, pos_resize=mode)
    backbone = tiny(99, pos_embed=kind, pos_scale=scale, pos_resize=mode, img_size=48)
    load_backbone(backbone, file_of(source))
    assert torch.equal(backbone.pos_embed, resize_pos_embed(source.pos_embed, (4, 4), (6, 6), mode))
    images = torch.randn(1, 3, 48, 48)
    torch.testing.assert_close(backbone(images), source(images))
    assert backbone.pos_embed.requires_grad == (kind == 'learned')


def changed(change) -> dict:
    checkpoint = file_of(tiny(3))
    change(checkpoint['state_dict'])
    return checkpoint


PATCHES = 'patch_embed.proj.weight'
WRONG = {
    'heads': (dict(arch={**ARCH, 'num_heads': 4}), file_of(tiny()), 'num_heads 2 in the file and 4 in the config'),
    'official heads': ({}, dict(official(), args=argparse.Namespace(arch='vit_small')), 'num_heads 6 in the file'),
    'patch': (dict(patch_size=16), file_of(tiny()), 'patch_size 8 in the file and 16 in the config'),
    'contradiction': ({}, with_meta(patch_size=16), 'contradicts itself: patch_size 16 in the metadata and 8 in'),
    'width': (dict(arch={**ARCH, 'embed_dim': 32}), file_of(tiny()), 'embed_dim 16 in the file and 32 in the config'),
    'depth': (dict(arch={**ARCH, 'depth': 3}), file_of(tiny()), 'depth 2 in the file and 3 in the config'),
    'mlp': (dict(arch={**ARCH, 'mlp_ratio': 2}), file_of(tiny()), 'mlp_ratio 4.0 in the file and 2 in the config'),
    'channels': (dict(in_channels=4), file_of(tiny()), 'in_channels 3 in the file and 4 in the config'),
    'learned positions': ({}, timm_vit().state_dict(), "set pos_embed='learned' in the backbone"),
    'fixed positions': (dict(pos_embed='learned'), tiny().state_dict(), "set pos_embed='sincos' in the backbone"),
    'without positions': (
        {},
        tiny(pos_scale=0).state_dict(),
        r'pos_scale 0 in the file and 1.0 .* set pos_scale=0 in the',
    ),
    'less of positions': ({}, tiny(pos_scale=0.1).half().state_dict(), 'set pos_scale=0.1 in the backbone'),
    'positions in metadata': ({}, with_meta(pos_embed='learned'), "pos_embed 'learned' in the file and 'sincos' in"),
    'missing': ({}, changed(lambda s: s.pop('norm.bias')), '1 of 29 backbone tensors are missing: norm.bias'),
    'no positions': ({}, changed(lambda s: s.pop('pos_embed')), 'missing: pos_embed'),
    'no block': ({}, changed(lambda s: [s.pop(n) for n in list(s) if 'blocks.1.' in n]), 'depth 2 in the meta'),
    'misshapen': ({}, changed(lambda s: s.update({'norm.bias': torch.zeros(17)})), r'1 of 29 .* \(17,\) instead of'),
    'misshapen positions': ({}, changed(lambda s: s.update(pos_embed=torch.zeros(1, 16, 12))), 'do not fit: pos_embed'),
    'two position tables': ({}, changed(lambda s: s.update(pos_embed=torch.zeros(2, 16, 16))), r'pos_embed \(2, 16'),
    'empty patches': ({}, changed(lambda s: s.update({PATCHES: torch.zeros(16, 3, 0, 0)})), 'embeds no image patches'),
    'odd positions': ({}, changed(lambda s: s.update(pos_embed=torch.zeros(1, 20, 16))), 'not a square grid'),
    'flat positions': ({}, changed(lambda s: s.update(pos_embed=torch.zeros(16, 16))), 'not a square grid'),
    'another architecture': (
        {},
        changed(lambda s: s.update({f'blocks.{i}.ls1.gamma': torch.ones(16) for i in range(2)})),
        '2 tensors have no place in FLSLViT, the file is of another architecture: blocks.0.ls1.gamma, blocks.1',
    ),
    'no tensor': ({}, changed(lambda s: s.update({PATCHES: 'text'})), 'no vision transformer'),
    'no transformer': ({}, dict(state_dict={'conv1.weight': torch.zeros(1)}), 'it holds conv1.weight'),
    'nothing': ({}, dict(state_dict={}), 'it holds no tensors'),
    'other branch': ({}, dict(student=tiny().state_dict()), "no teacher, only a student: set branch='student'"),
}


@pytest.mark.parametrize('case', WRONG)
def test_one_line_and_nothing_loaded(case, tmp_path):
    options, checkpoint, words = WRONG[case]
    torch.save(checkpoint, tmp_path / 'a.pth')
    backbone = tiny(99, **options)
    with pytest.raises(CheckpointError, match=words) as error:
        load_backbone(backbone, tmp_path / 'a.pth')
    assert str(error.value).startswith(f'{tmp_path / "a.pth"}: ')
    assert '\n' not in str(error.value)
    assert equal_states(tiny(99, **options), backbone)


def test_heads_follow_the_weights_into_every_checkpoint(tmp_path):
    """Six heads and eight have the same tensors: only metadata tells them apart, also inside a detector."""
    detector = nn.Module()
    detector.backbone = tiny(3)
    torch.save(dict(meta={}, state_dict=detector.state_dict()), tmp_path / 'a.pth')
    assert 'heads not recorded' not in load_backbone(tiny(99), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='num_heads 2 in the file and 4 in the config'):
        load_backbone(tiny(99, arch={**ARCH, 'num_heads': 4}), tmp_path / 'a.pth')
