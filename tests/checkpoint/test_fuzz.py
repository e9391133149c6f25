"""Checkpoints of every layout with something changed in them: one line or weights, no code, no crash, no long wait."""

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.checkpoint import CheckpointError, load_backbone, read_checkpoint, to_flsl, to_official, to_timm
from tests.builders.checkpoints import layouts, tiny
from tests.builders.nonsense import Call, nonsense

NONSENSE = nonsense(torch.zeros(0), torch.ones(()), torch.ones(2, 3), torch.full((16,), torch.nan), b'bytes')
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from(['drop', 'rename', 'replace', 'cut', 'move']), NONSENSE),
    min_size=1,
    max_size=3,
)
LAYOUTS = layouts()


def places(value: Any) -> Iterator[tuple[dict, Any]]:
    for key, item in value.items():
        yield value, key
        if isinstance(item, dict):
            yield from places(item)


def change(content: dict, place: int, kind: str, nonsense: Any) -> None:
    found = list(places(content))
    if not found:
        return
    parent, key = found[place % len(found)]
    value = parent.pop(key)
    if kind == 'rename':
        parent[f'{key}_'] = value
    elif kind == 'replace':
        parent[key] = nonsense
    elif kind == 'cut':
        parent[key] = value[..., : place % 3] if isinstance(value, torch.Tensor) and value.dim() else nonsense
    elif kind == 'move':
        parent[key] = {str(nonsense)[:5]: value}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('fuzz')


@pytest.mark.slow
@given(layout=st.sampled_from(sorted(LAYOUTS)), changes=CHANGES, branch=st.sampled_from(['teacher', 'student']))
@settings(max_examples=60, deadline=None)
def test_changed_contents(layout, changes, branch, folder):
    content, _, options = copy.deepcopy(LAYOUTS[layout])
    for one in changes:
        change(content, *one)
    path = folder / 'changed.pth'
    torch.save(content, path)
    backbone = tiny(99, **options)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    try:
        load_backbone(backbone, path, branch)
    except CheckpointError as error:
        line = str(error)
        assert line.startswith(f'{path}'), line
        assert '\n' not in line
        assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    for convert in (to_flsl, to_official, to_timm):
        with contextlib.suppress(ValueError):
            content = read_checkpoint(path)
            load_backbone(tiny(98, **options), convert(content, branch, 2), branch)


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5),
    keep=st.floats(0.5, 1),
    zipped=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_changed_bytes(layout, changes, keep, zipped, folder):
    path = folder / 'bytes.pth'
    torch.save(LAYOUTS[layout][0], path, _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path.write_bytes(content[: int(keep * len(content))])
    with contextlib.suppress(CheckpointError):
        assert isinstance(read_checkpoint(path), dict)


@given(layout=st.sampled_from(sorted(LAYOUTS)), place=st.integers(0, 10**6), zipped=st.booleans())
@settings(max_examples=40, deadline=None)
def test_code_anywhere(layout, place, zipped, folder):
    content, marker, path = copy.deepcopy(LAYOUTS[layout][0]), folder / 'marker', folder / 'code.pth'
    found = list(places(content))
    parent, key = found[place % len(found)]
    parent[key] = Call(os.system, f'touch {marker}')
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match='is refused: reading it would call or build'):
        read_checkpoint(path)
    assert not marker.exists()
