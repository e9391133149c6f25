"""Small files that would take much memory or time, and tensors that are no weights: one line, nothing built."""

import codecs
import time
import zipfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest
import torch

from flsl_mm.checkpoint import CheckpointError, load_backbone, pickle_check, read_checkpoint
from tests.builders.checkpoints import equal_states, file_of, tiny
from tests.builders.nonsense import Call

OLD = dict(_use_new_zipfile_serialization=False)


class Moved:
    """Pickles as a tensor that is then given other sizes."""

    def __reduce__(self) -> tuple:
        function, arguments = torch.ones(1).__reduce_ex__(2)
        return function, arguments, (arguments[0], 0, (10**5, 10**4), (0, 0))


def resaved(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, 'w') as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def refusal(path: Path, words: str) -> None:
    """Read a file, which must end with one line within two seconds."""
    began = time.process_time()
    with pytest.raises(CheckpointError, match=words) as error:
        read_checkpoint(path)
    assert time.process_time() - began < 2
    assert '\n' not in str(error.value)
    assert str(error.value).startswith(str(path))


REBUILD = torch.ones(1).__reduce_ex__(2)
CIRCLE = []
CIRCLE.append(CIRCLE)
ATTRIBUTED = torch.ones(2)
ATTRIBUTED.note = 'text'
BOMBS = {
    'bytes': (Call(bytearray, 2 * 10**9), 'would call or build bytearray'),
    'a tensor made by its class': (Call(torch.FloatTensor, 10**9), r'would call or build torch\.FloatTensor'),
    'repeated values': (torch.ones(1).expand(10**5, 10**4), 'its tensors claim 4000000000 bytes, and it holds 4'),
    'overlapping values': (torch.ones(20_000).as_strided((10_000, 10_000), (1, 1)), 'more than there are'),
    'values beyond the end': (Call(REBUILD[0], REBUILD[1][0], 5, *REBUILD[1][2:]), '6 values of a storage of 1'),
    'a tensor that is given other sizes': (Moved(), 'a state for something that has none'),
    'doubled lists': (reduce(lambda inner, _: [inner, inner], range(64), []), 'stand for more than 20 times as many'),
    'one long text a thousand times': ([('x' * 10**5,)] * 1000, 'stand for more than'),
    'deep lists': (reduce(lambda inner, _: [inner], range(150), []), 'more than 100 containers deep'),
    'a list that contains itself': (CIRCLE, 'contains itself'),
    'a slow encoding': (Call(codecs.encode, 'x' * 1000, 'punycode'), 'unusual encoding'),
}


@pytest.mark.parametrize('kind', BOMBS)
@pytest.mark.parametrize('options', [{}, OLD], ids=['zip', 'old'])
def test_small_files_take_neither_memory_nor_time(kind, options, tmp_path):
    content, words = BOMBS[kind]
    torch.save({'a': content}, tmp_path / 'a.pth', **options)
    refusal(tmp_path / 'a.pth', words)


def test_a_file_has_a_bound_of_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_check, 'MAX_OPERATIONS', 1000)
    torch.save({'a': [[] for _ in range(600)]}, tmp_path / 'a.pth')
    refusal(tmp_path / 'a.pth', 'more than 1000 entries')


@pytest.mark.parametrize(
    ('program', 'words'),
    [
        (b'})' + 64 * b'q\x00h\x00\x86' + b'K\x01s', 'stand for more than 20 times as many'),  # a key, to be hashed
        (b'K\x01)R', 'not a readable checkpoint'),  # a call of the number 1
    ],
)
def test_programs_that_no_pickler_writes(tmp_path, program, words):
    torch.save({}, tmp_path / 'a.pth')
    entry = {'a/data.pkl': b'\x80\x02' + program + b'.'}
    resaved(tmp_path / 'a.pth', tmp_path / 'b.pth', lambda entries: entries.update(entry))
    refusal(tmp_path / 'b.pth', words)


def larger(entries: dict[str, bytes]) -> None:
    """Have a tensor of 1,000 numbers claim 62,440."""
    entries['a/data.pkl'] = entries['a/data.pkl'].replace(b'M\xe8\x03', b'M\xe8\xf3')


def test_storages_are_as_large_as_the_file_says(tmp_path):
    """The old format would take the memory first and look for the numbers then."""
    torch.save({'a': torch.ones(1000)}, tmp_path / 'a.pth')
    resaved(tmp_path / 'a.pth', tmp_path / 'b.pth', larger)
    refusal(tmp_path / 'b.pth', 'a tensor claims 249760 bytes, the file holds 4000')
    torch.save({'a': torch.ones(1000)}, tmp_path / 'c.pth', **OLD)
    content = (tmp_path / 'c.pth').read_bytes()
    (tmp_path / 'c.pth').write_bytes(content.replace(b'M\xe8\x03', b'M\xe8\xf3'))
    refusal(tmp_path / 'c.pth', 'claim 249760 bytes, and it is a truncated file')


def test_a_storage_has_one_size(tmp_path):
    """The old format would take the memory of the first."""
    first, second = torch.ones(1000), torch.ones(1001)
    torch.save([first, second], tmp_path / 'a.pth', **OLD)
    content = (tmp_path / 'a.pth').read_bytes()
    keys = [str(tensor.untyped_storage()._cdata).encode() for tensor in (first, second)]
    (tmp_path / 'a.pth').write_bytes(content.replace(keys[1], keys[0]))
    refusal(tmp_path / 'a.pth', 'two tensors claim 4004 and 4000 bytes of one storage')


def test_entries_that_lie_over_one_another(tmp_path):
    """Sixty names of the same bytes would become sixty times as many."""
    torch.save({'a': torch.ones(100_000)}, tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.pth', 'a') as archive:
        first = archive.getinfo('a/data/0')
        for number in range(1, 60):
            twin = zipfile.ZipInfo(f'a/data/{number}')
            for field in ('header_offset', 'file_size', 'compress_size', 'CRC'):
                setattr(twin, field, getattr(first, field))
            archive.filelist.append(twin)
            archive._didModify = True
    refusal(tmp_path / 'a.pth', 'lie over one another')


UNUSABLE = {
    'sparse': (lambda: torch.ones(16).to_sparse(), 'it holds a sparse tensor'),
    'meta': (lambda: torch.ones(16, device='meta'), 'without values'),
    'quantized': (lambda: torch.quantize_per_tensor(torch.ones(16), 1.0, 0, torch.qint8), 'a quantized tensor'),
    'complex': (lambda: torch.ones(16, dtype=torch.complex64), 'complex numbers'),
    'float8': (lambda: torch.ones(16).to(torch.float8_e5m2), 'numbers of an unusual type'),
    'with an attribute': (lambda: ATTRIBUTED, 'with attributes'),
    'NaN': (lambda: torch.full((16,), torch.nan), r'norm\.bias has values that are not finite'),
    'too large for float32': (lambda: torch.full((16,), 1e300, dtype=torch.float64), 'values that are not finite'),
    'int8': (lambda: torch.ones(16, dtype=torch.int8), 'do not fit: norm.bias of type torch.int8'),
    'bool': (lambda: torch.ones(16, dtype=torch.bool), 'do not fit: norm.bias of type torch.bool'),
}


@pytest.mark.parametrize('kind', UNUSABLE)
def test_tensors_that_are_no_weights_leave_the_backbone_as_it_was(kind, tmp_path):
    make, words = UNUSABLE[kind]
    checkpoint = file_of(tiny(3))
    checkpoint['state_dict']['norm.bias'] = make()
    torch.save(checkpoint, tmp_path / 'a.pth')
    backbone = tiny(4)
    with pytest.raises(CheckpointError, match=words):
        load_backbone(backbone, tmp_path / 'a.pth')
    assert equal_states(backbone, tiny(4))


def test_values_that_half_precision_cannot_hold(tmp_path):
    checkpoint = file_of(tiny(3))
    checkpoint['state_dict']['norm.bias'][0] = 1e6
    backbone = tiny(4).half()
    with pytest.raises(CheckpointError, match=r'norm\.bias not finite as torch\.float16'):
        load_backbone(backbone, checkpoint)
    assert equal_states(backbone, tiny(4).half())


def test_what_is_read_is_plain_and_fills_its_own_memory(tmp_path):
    base = torch.arange(6.0)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.register_hook(lambda gradient: gradient)
    saved = dict(part=base[2:4], turned=base.view(2, 3).T, repeated=torch.ones(1).expand(3), parameter=parameter)
    saved['tied'] = saved['turned']
    torch.save(saved, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')
    for name, tensor in read.items():
        assert torch.equal(tensor, saved[name].detach())
        assert type(tensor) is torch.Tensor
        assert not tensor.requires_grad
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    assert read['tied'] is read['turned']
