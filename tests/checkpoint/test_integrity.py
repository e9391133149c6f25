"""Flipped bits and numbers that are not finite are found, wherever they are in a checkpoint."""

import contextlib
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from flsl_mm.checkpoint import CheckpointError, read_checkpoint
from flsl_mm.checkpoint.integrity import named_tensors
from tests.builders.checkpoints import file_of, same, tiny


@pytest.fixture(scope='module')
def whole_file(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp('whole') / 'a.pth'
    torch.save(file_of(tiny(3)), path)
    return path.read_bytes()


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_never_loads_as_another_number(tmp_path, whole_file, place, bit):
    content = bytearray(whole_file)
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path / 'flipped.pth'
    path.write_bytes(content)
    with contextlib.suppress(CheckpointError):
        # Padding between entries means nothing.
        assert same(read_checkpoint(path)['state_dict'], tiny(3).state_dict())


def test_a_flipped_bit_in_a_tensor_is_named(tmp_path, whole_file):
    content = bytearray(whole_file)
    content[whole_file.find(tiny(3).state_dict()['norm.weight'].numpy().tobytes())] ^= 1
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'a\.pth is damaged: the checksum of .*/data/\d+ in it does not match'):
        read_checkpoint(tmp_path / 'a.pth')


def test_files_without_checksums_are_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({'a': torch.ones(3)}, tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_checkpoint(tmp_path / 'a.pth')['a'].sum() == 3


def test_packed_files_are_refused(tmp_path):
    """A gigabyte of zeros takes a megabyte there."""
    torch.save({'a': torch.zeros(1000)}, tmp_path / 'a.pth')
    with (
        zipfile.ZipFile(tmp_path / 'a.pth') as source,
        zipfile.ZipFile(tmp_path / 'b.pth', 'w', zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    with pytest.raises(CheckpointError, match=r'is compressed, as torch\.save never does'):
        read_checkpoint(tmp_path / 'b.pth')


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_numbers_that_are_not_finite(value, dtype, tmp_path):
    damaged = torch.tensor([1.0, value]).to(dtype)
    places = {
        'state_dict.norm.bias': dict(state_dict={'norm.bias': damaged}),
        'optimizer.state.0.exp_avg': dict(optimizer=dict(state={0: dict(exp_avg=damaged)})),
        '0': {0: damaged},
        'a.1': dict(a=[torch.ones(1), damaged]),
    }
    for name, content in places.items():
        torch.save(content, tmp_path / 'a.pth')
        with pytest.raises(CheckpointError, match=f'is damaged: {name} has values that are not finite'):
            read_checkpoint(tmp_path / 'a.pth')
    torch.save(dict(a=damaged, b=damaged + 0), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='a and 1 more tensors have values'):
        read_checkpoint(tmp_path / 'a.pth')
    save_file({'weight': damaged}, tmp_path / 'a.safetensors')
    with pytest.raises(CheckpointError, match='weight has values that are not finite'):
        read_checkpoint(tmp_path / 'a.safetensors')


def test_numbers_that_need_not_be_finite(tmp_path):
    """Logged losses may be NaN, and gradients of a step that will be left out; sums of float16 overflow."""
    content = dict(
        message_hub=dict(runtime_info=dict(loss=torch.tensor(torch.nan))),
        optimizer=dict(gradients=[torch.tensor([torch.nan]), None]),
        state_dict=dict(large=torch.full((100,), 6e4, dtype=torch.float16), whole=torch.arange(3)),
    )
    torch.save(content, tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['state_dict']['large'].dtype == torch.float16


def test_containers_that_contain_themselves():
    content = {'a': [torch.ones(1)]}
    content['a'].append(content)
    assert [name for name, _ in named_tensors(content)] == ['a.0']
