"""The converter as a program: files of every target, and one line for every mistake."""

import os
import re
import resource
from pathlib import Path

import pytest
import torch

from flsl_mm.checkpoint import load_backbone, read_checkpoint
from flsl_mm.commands import convert
from flsl_mm.commands.convert import mean_token
from flsl_mm.evaluation.features import load_model
from tests.builders.checkpoints import official, same, timm_vit, tiny, training
from tests.builders.programs import refused
from tests.builders.reference import FOLDER, official_checkpoint
from tests.builders.toy_run import write_images


def run(*arguments) -> int:
    return convert.main([str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path) -> Path:
    torch.save(official(), tmp_path / 'official.pth')
    return tmp_path / 'official.pth'


@pytest.mark.parametrize('recorded', [False, pytest.param(True, marks=pytest.mark.recorded)])
def test_official_there_and_back(source, tmp_path, capsys, recorded):
    original = official_checkpoint() if recorded else official()
    source = FOLDER / 'official_checkpoint.pth' if recorded else source
    assert run(source, tmp_path / 'flsl.pth', '--to', 'flsl') == 0
    assert run(tmp_path / 'flsl.pth', tmp_path / 'back.pth', '--to', 'official') == 0
    ours, back = read_checkpoint(tmp_path / 'flsl.pth'), read_checkpoint(tmp_path / 'back.pth')
    assert recorded or same(ours['state_dict'], training()['state_dict'])
    for branch in ('student', 'teacher'):
        assert same(original[branch], back[branch])
    assert back['epoch'] == original['epoch']
    for name in ('patch_size', 'out_dim', *(['arch'] if recorded else [])):
        assert getattr(back['args'], name) == getattr(original['args'], name)
    assert capsys.readouterr().out.startswith(f'{source} -> {tmp_path / "flsl.pth"} (flsl): state_dict ')


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


@torch.no_grad()
def test_timm_computes_the_same_tokens(source, tmp_path):
    run(source, tmp_path / 'timm.pth', '--to', 'timm')
    model = timm_vit(class_token=False, global_pool='', num_classes=0)
    model.load_state_dict(torch.load(tmp_path / 'timm.pth', weights_only=True))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.forward_features(images), tiny(2)(images)[0])


def test_a_full_disk_is_one_line(source, tmp_path, capsys):
    """A limit on the size of files, which the system reports like a full disk; torch's writer has errors of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        assert run(source, tmp_path / 'a.pth', '--to', 'flsl') == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert re.fullmatch('error: the disk is full.*: make room, then start again.*\n', capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['official.pth']


def test_command_line_errors(source, tmp_path, capsys):
    (tmp_path / 'page.pth').write_text('<html>')
    torch.save(dict(timm_vit().state_dict(), **{'blocks.0.ls1.gamma': torch.ones(16)}), tmp_path / 'dinov2.pth')
    target = tmp_path / 'new' / 'a.pth'
    for name, words in (
        ('none', 'does not exist'),
        ('page', 'web page'),
        ('dinov2', r'1 tensors have no place in FLSLViT.*\(the layout of DINOv2'),
    ):
        line = refused(convert.main, [tmp_path / f'{name}.pth', target, '--to', 'flsl', '--heads', '2'], capsys)
        assert re.search(words, line)
    assert not target.parent.exists()
    assert run(source, target, '--to', 'flsl') == 0
    before = target.read_bytes()
    assert 'give --force' in refused(convert.main, [source, target, '--to', 'timm'], capsys)
    assert target.read_bytes() == before
    assert run(source, target, '--to', 'timm', '--force') == 0
    assert os.listdir(target.parent) == ['a.pth']


def test_positions_center_and_rounding_of_a_backbone_file(source, tmp_path):
    """The mean token of the folder's images is zero afterwards, and all else is as it was."""
    folder = write_images(tmp_path / 'images', count=3)
    (folder / 'broken.png').write_bytes(b'x')
    plain, new = tmp_path / 'plain.pth', tmp_path / 'new.pth'
    assert run(source, plain, '--to', 'flsl', '--branch', 'teacher') == 0
    assert run(plain, new, '--to', 'flsl', '--pos-scale', 0.1, '--center', folder) == 0
    model = load_model(new, logger='silent')
    assert model.spec.pos_scale == 0.1
    assert mean_token(model, folder).abs().max() < 1e-5
    before, after = read_checkpoint(plain)['state_dict'], read_checkpoint(new)['state_dict']
    assert [name for name in before if not torch.equal(before[name], after[name])] == ['pos_embed', 'norm.bias']
    assert run(new, plain, '--to', 'flsl', '--half', '--force') == 0
    rounded = read_checkpoint(plain)['state_dict']
    assert {name for name, tensor in rounded.items() if tensor.dtype != torch.float16} == {'pos_embed'}
    assert load_model(plain, logger='silent').spec.pos_scale == 0.1


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--to', 'flsl', '--half'], 'change backbone files: add --to flsl --branch teacher'),
        (['--to', 'timm', '--half'], 'change backbone files: add --to flsl --branch teacher'),
        (
            ['--to', 'flsl', '--branch', 'teacher', '--pos-scale', '-1'],
            'pos_scale is of the sine-cosine plane and 0 or',
        ),
        (['--to', 'flsl', '--branch', 'teacher', '--center', 'nowhere'], 'nowhere'),
    ],
)
def test_changes_that_cannot_be_made(source, tmp_path, capsys, options, words):
    assert words in refused(convert.main, [str(source), str(tmp_path / 'a.pth'), *options], capsys)
    assert not (tmp_path / 'a.pth').exists()
