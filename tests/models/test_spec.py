"""The spec of a backbone: from an arch, a module and a file, and where two of them disagree."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsl_mm.models import ARCHS, BackboneSpec, FLSLViT
from flsl_mm.models.spec import MIN_STD, MODES, default_num_heads

ARCH = dict(embed_dim=16, depth=3, num_heads=2)
WHOLE = BackboneSpec(16, 3, 2, 4.0, 8, 32, 3, 'sincos', 'offset', (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), pos_scale=1.0)

sizes = st.none() | st.integers(1, 2**30)


def specs_of(channels: int) -> st.SearchStrategy[BackboneSpec]:
    """Draw specs of images of so many channels."""
    mean, std = (
        st.none() | st.lists(st.floats(low, 1), min_size=channels, max_size=channels).map(tuple) for low in (0, MIN_STD)
    )
    texts = [st.none() | st.sampled_from(modes) for modes in MODES.values()]
    geometry = [*[sizes] * 3, st.none() | st.floats(0.1, 16), *[sizes] * 2, st.none() | st.just(channels)]
    scale = st.none() | st.floats(0, 4)
    return st.builds(BackboneSpec, *geometry, *texts, mean, std, pos_scale=scale)


specs = st.integers(1, 4).flatmap(specs_of)


def test_names_and_dicts():
    assert BackboneSpec.from_arch('small').arch == dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0)
    assert BackboneSpec.from_arch(dict(ARCH, mlp_ratio=2)).arch == dict(ARCH, mlp_ratio=2)
    assert set(ARCHS['small']) == {'embed_dim', 'depth', 'num_heads'}, 'the table itself must not change'
    with pytest.raises(ValueError, match=r"unknown arch 'vit_s': choose one of \['base', 'small', 'tiny'\]"):
        BackboneSpec.from_arch('vit_s')
    with pytest.raises(ValueError, match='unknown arch'):
        BackboneSpec.from_arch('mlp_ratio')
    with pytest.raises(ValueError, match=r"got \['depth', 'embed_dim', 'heads', 'mlp_ratio'\]"):
        BackboneSpec.from_arch(dict(embed_dim=16, depth=3, heads=2))
    assert [default_num_heads(width) for width in (192, 384, 768, 512)] == [3, 6, 12, None]


@pytest.mark.parametrize('options', [dict(pos_embed=None), dict(pos_resize='nearest'), dict(img_size=30, patch_size=8)])
def test_impossible_options(options):
    with pytest.raises(ValueError, match=r'must be|not a multiple'):
        BackboneSpec.from_arch('small', **options)


def test_a_module_has_its_spec_and_writes_it_beside_its_tensors():
    backbone = FLSLViT(ARCH, patch_size=8, img_size=32, pos_resize='size')
    assert backbone.spec == replace(WHOLE, pos_resize='size', mean=None, std=None)
    assert backbone.spec.grid_hw == (4, 4)
    stored = backbone.state_dict(prefix='backbone.')._metadata['backbone']['flsl_mm']
    assert BackboneSpec.from_dict(stored) == backbone.spec


@given(specs)
def test_files_give_back_what_they_are_given(spec):
    assert BackboneSpec.from_dict(spec.to_dict()) == spec


def test_files_hold_plain_types():
    arch, geometry = dict(ARCH, mlp_ratio=4.0), dict(patch_size=8, img_size=32, in_channels=3)
    positions = dict(pos_embed='sincos', pos_resize='offset', pos_scale=1.0)
    assert WHOLE.to_dict() == dict(arch=arch, **geometry, **positions, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])
    with pytest.raises(ValueError, match='divide both by 255'):
        replace(WHOLE, mean=(123.7,), std=(58.4,)).to_dict()


@pytest.mark.parametrize('name', [field for field in vars(WHOLE) if field != 'embed_dim'])
@pytest.mark.parametrize(
    'value', [[], {}, 'text', -8, 0, float('nan'), float('inf'), 10**400, [float('nan')] * 3, [1e30]]
)
def test_what_a_file_gets_wrong_is_told(name, value):
    if (name, value) == ('pos_scale', 0):
        assert BackboneSpec.from_dict({name: value}).pos_scale == 0
        return
    for said in ({name: value}, dict(arch={name: value})):
        with pytest.raises(ValueError, match=f'the file says {name} .*, which no backbone has'):
            BackboneSpec.from_dict(said)


def test_what_a_file_does_not_say():
    assert BackboneSpec.from_dict(dict.fromkeys(vars(WHOLE)) | dict(unknown=1)) == BackboneSpec()
    assert BackboneSpec.from_dict(dict(arch='small', patch_size=8)) == BackboneSpec(patch_size=8)


@given(specs, specs)
def test_filling_keeps_what_is_said(spec, other):
    filled = spec.filled_from(other)
    for name, value in vars(spec).items():
        assert getattr(filled, name) == (getattr(other, name) if value is None else value)


def test_differences():
    other = replace(WHOLE, num_heads=4, pos_embed='learned', mean=None)
    assert WHOLE.differences(other) == dict(num_heads=(2, 4), pos_embed=('sincos', 'learned'))
    assert WHOLE.differences(WHOLE) == WHOLE.differences(BackboneSpec()) == {}
    assert WHOLE.differences(replace(WHOLE, mlp_ratio=4.1)) == dict(mlp_ratio=(4.0, 4.1))


@given(embed_dim=st.integers(1, 2048), ratio=st.floats(0.5, 8))
def test_mlp_ratios_agree_if_they_build_the_same_layers(embed_dim, ratio):
    hidden = int(embed_dim * ratio)
    built, told = BackboneSpec(embed_dim, mlp_ratio=ratio), BackboneSpec(embed_dim, mlp_ratio=hidden / embed_dim)
    assert not built.differences(told)
    assert not told.differences(built)
    assert told.differences(replace(told, mlp_ratio=(hidden + 2) / embed_dim))
