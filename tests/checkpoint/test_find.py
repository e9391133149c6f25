"""Finding a backbone in a checkpoint, and what a file says about it."""

import argparse
import contextlib
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.checkpoint import CheckpointError, find_backbone
from flsl_mm.models import BackboneSpec
from tests.builders.checkpoints import ARCH, layouts, official, prefixed, timm_vit, tiny, with_meta
from tests.builders.nonsense import nonsense


def test_class_token_rows_are_cut_off():
    table = timm_vit(7).state_dict()['pos_embed']
    assert table.shape == (1, 17, 16)
    found = find_backbone(timm_vit(7).state_dict())
    assert torch.equal(found.tensors['pos_embed'], table[:, 1:])
    assert found.ignored == {'cls_token': 1, 'head.*': 2}
    assert 'cls_token' not in found.tensors


def test_teacher_prefix_is_not_mistaken_for_the_students():
    """A detector with its own teacher keeps both apart."""
    state = {**prefixed('backbone.', tiny(1).state_dict()), **prefixed('teacher.backbone.', tiny(2).state_dict())}
    assert torch.equal(find_backbone(state, 'student').tensors['norm.bias'], tiny(1).norm.bias)
    assert find_backbone(state, 'student').ignored == {'teacher.*': 29}
    assert find_backbone(state).ignored == {'backbone.*': 29}


IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SAID = {
    'backbone file': dict(num_heads=2, pos_resize='offset', mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
    'official': dict(num_heads=2, **IMAGENET),
    'DINO': IMAGENET,
    'bare': dict(num_heads=2, pos_resize='offset'),
}


@pytest.mark.parametrize('layout', layouts())
def test_spec_of_every_layout(layout):
    """Tensors tell the geometry; heads, resizing and normalization are what the file says, and else unknown."""
    checkpoint, expected, _ = layouts()[layout]
    unsaid = dict(num_heads=None, pos_resize=None, mean=None, std=None)
    assert find_backbone(checkpoint).spec == replace(expected.spec, **{**unsaid, **SAID.get(layout, {})})


@pytest.mark.parametrize(
    ('args', 'heads'),
    [
        (dict(arch='vit_small'), 6),
        (dict(arch='deit_base'), 12),
        (dict(arch='vit_small', num_heads=8), 8),
        (dict(arch='resnet50'), None),
        (dict(arch=['vit_small'], num_heads='6', patch_size=None), None),
    ],
)
def test_heads_from_a_command_line(args, heads):
    assert find_backbone(dict(official(), args=argparse.Namespace(**args))).spec.num_heads == heads


@pytest.mark.parametrize(
    'meta', [dict(patch_size=4), dict(arch=dict(ARCH, depth=3)), dict(arch=dict(mlp_ratio=2)), dict(img_size=64)]
)
def test_a_file_that_contradicts_its_tensors_is_refused(meta):
    with pytest.raises(CheckpointError, match=r'contradicts itself: \w+ \d+ in the metadata and [\d.]+ in the tensors'):
        find_backbone(with_meta(**meta))


@pytest.mark.parametrize(
    'meta', [dict(std=[0, 0, 0]), dict(std=[0.2, 0.2, -0.2]), dict(std=[0.2], mean=[0.5] * 3), dict(std=[1e-40] * 3)]
)
def test_an_impossible_normalization_is_refused(meta):
    with pytest.raises(CheckpointError, match=r'the file says mean .* and std .*, which normalize no image'):
        find_backbone(with_meta(**meta))


@given(st.dictionaries(st.sampled_from([*vars(BackboneSpec())]), nonsense()))
@settings(max_examples=60)
def test_nonsense_in_a_file_raises_one_line_or_nothing(said):
    for nested in (said, dict(arch=said)):
        with contextlib.suppress(CheckpointError):
            found = find_backbone(with_meta(**nested))
            assert found.spec.grid_hw == (4, 4)


EARLIER = dict(arch=dict(ARCH, mlp_ratio=4.0), patch_size=8, img_size=32, pos_embed='sincos', pos_resize='size')
"""How files described `tiny(pos_resize='size')` before there was a spec."""


def test_files_of_earlier_versions():
    """Neither the number of input channels nor, beside a training's tensors, mean and std were in them."""
    backbone = tiny(3, pos_resize='size')
    meta = dict(format='flsl_mm-backbone', version='0.1.0', **EARLIER, mean=[0.5] * 3, std=None)
    found = find_backbone(dict(state_dict=backbone.state_dict(), meta=meta))
    assert found.spec == replace(backbone.spec, mean=(0.5,) * 3)
    state = OrderedDict(prefixed('teacher.backbone.', backbone.state_dict()))
    state._metadata = {'teacher.backbone': {'version': 1, 'flsl_mm': EARLIER}}
    assert find_backbone(dict(state_dict=state)).spec == backbone.spec


def wide() -> dict:
    """A few tensors whose names and shapes make up a backbone of 3 GB."""
    shapes = {
        'patch_embed.proj.weight': (4096, 3, 1, 1),
        'pos_embed': (1, 1, 4096),
        'blocks.0.mlp.fc1.weight': (16384, 1),
    }
    return {name: torch.zeros(shape) for name, shape in shapes.items()} | norms(4)


def without_positions() -> dict:
    return {name: tensor for name, tensor in tiny(1).state_dict().items() if name != 'pos_embed'}


def norms(count: int) -> dict:
    return {f'blocks.{number}.norm1.weight': torch.zeros(1) for number in range(count)}


@pytest.mark.parametrize(
    'state',
    [
        wide(),
        tiny(1).state_dict() | norms(1500),
        tiny(1).state_dict() | {'blocks.0.mlp.fc1.weight': torch.zeros(10**7, 1)},
        with_meta(img_size=10**6 * 8) | {'state_dict': without_positions()},
    ],
    ids=['width', 'depth', 'hidden width', 'grid'],
)
def test_a_size_that_a_file_does_not_justify_is_refused_before_anything_is_built(state):
    with pytest.raises(CheckpointError, match=r'^a backbone of width .* and the file holds [\d,]+: most of its'):
        find_backbone(state)


@pytest.mark.parametrize('name', [3, None, ('a', 1), b'x'])
def test_tensors_without_a_name_are_refused(name):
    with pytest.raises(CheckpointError, match='a tensor has the unusable name'):
        find_backbone({**tiny(1).state_dict(), name: torch.zeros(1)})
