"""Reading files that would run code: nothing in them runs, and plain objects come back as they were."""

import argparse
import functools
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from flsl_mm.checkpoint import CheckpointError, read_checkpoint
from flsl_mm.checkpoint.safe_unpickling import STAND_INS
from tests.builders.nonsense import Call


class Stateful:
    """Is on no list of classes."""


class Poisoned(HistoryBuffer):
    """Pickles as an MMEngine history whose state names a function of the attacker's choice."""

    def __init__(self, function) -> None:
        super().__init__([1.0], [1])
        self.function = function

    def __reduce__(self) -> tuple:
        return HistoryBuffer, (), {**self.__dict__, 'statistics_methods': {'mean': self.function}}


def object_array(item) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = item
    return array


def payloads(marker: Path) -> dict:
    """Return objects that create ``marker`` when they are read, or that reach for what could."""
    command = Call(os.system, f'touch {marker}')
    return {
        'os.system': command,
        'eval': Call(eval, f'open({str(marker)!r}, "w")'),
        'open': Call(open, str(marker), 'w'),
        'getattr': Call(getattr, OrderedDict, 'fromkeys'),
        'partial': functools.partial(os.system, f'touch {marker}'),
        'torch.load': Call(torch.load, str(marker)),
        'bytes': Call(bytes, 10**15),
        'numpy array of objects': object_array(command),
        'history': Poisoned(os.system),
        'unknown class': Stateful(),
    }


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('hidden', [True, False])
@pytest.mark.parametrize('kind', payloads(Path('marker')))
def test_code_is_refused_by_name_and_does_not_run(tmp_path, kind, hidden, zipped):
    marker, path = tmp_path / 'marker', tmp_path / 'bad.pth'
    payload = payloads(marker)[kind]
    content = {'state_dict': {}, 'meta': {('a', 'b'): argparse.Namespace(options=[payload])}} if hidden else payload
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as refusal:
        read_checkpoint(path)
    assert not marker.exists()
    assert '\n' not in str(refusal.value)
    assert str(path) in str(refusal.value)
    names = {'unknown class': 'Stateful', 'numpy array of objects': 'system', 'partial': 'functools.partial'}
    names.update({'os.system': f'{os.system.__module__}.system', 'history': f'{os.system.__module__}.system'})
    assert names.get(kind, kind.rpartition('.')[2]) in str(refusal.value)
    assert 'run any code' in str(refusal.value)
    if kind == 'os.system':
        torch.load(path, weights_only=False)
        assert marker.exists(), 'read carelessly, it does run'


@pytest.mark.parametrize('protocol', range(5))
def test_bare_pickles_are_refused(tmp_path, protocol):
    marker, path = tmp_path / 'marker', tmp_path / 'bad.pth'
    path.write_bytes(pickle.dumps(Call(os.system, f'touch {marker}'), protocol=protocol))
    with pytest.raises(CheckpointError, match='run any code'):
        read_checkpoint(path)
    assert not marker.exists()


def test_names_that_the_process_allowed_elsewhere_are_refused_and_stay_allowed_there(tmp_path):
    path = tmp_path / 'bad.pth'
    torch.save({'a': Stateful()}, path)
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([Stateful])
    try:
        with pytest.raises(CheckpointError, match='Stateful'):
            read_checkpoint(path)
        assert Stateful in torch.serialization.get_safe_globals()
        assert not set(STAND_INS) & set(torch.serialization.get_safe_globals())
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


FORGED = Call(*np.zeros(1).__reduce__()[:2])
FORGED.call += ((1, (1,), argparse.Namespace(dtype='O'), False, bytes(8)),)  # answers for the type: memory addresses


@pytest.mark.parametrize(
    ('array', 'words'),
    [(np.zeros(2, dtype=[('x', 'f4'), ('y', 'i4')]), 'is not a number'), (FORGED, 'without numbers')],
)
def test_numpy_types_that_lead_into_memory_are_refused(tmp_path, array, words):
    torch.save({'a': array}, tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(tmp_path / 'bad.pth')


@pytest.mark.parametrize('zipped', [True, False])
def test_plain_objects_come_back_as_they_were(tmp_path, zipped):
    history = HistoryBuffer([1.0, 2.0], [1, 3], max_length=5)
    shared = [np.arange(6, dtype='>i2').reshape(2, 3), argparse.Namespace(a=1)]
    saved = {
        'state_dict': OrderedDict(weight=torch.arange(3.0)),
        'history': history,
        'lr': np.float64(0.1),
        'flags': (np.bool_(True), np.int64(-3), np.float32(2.5), np.complex64(1j)),
        'empty': np.zeros((0, 3), dtype=np.float32),
        'scalar array': np.array(7, dtype=np.uint8),
        'fortran': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        'random': np.random.RandomState(0).get_state(),
        'args': argparse.Namespace(arch='vit_small', lr=np.float64(1e-3), nested=[argparse.Namespace(a=1)]),
        'shared': (shared, shared),
        **dict(text='x', none=None, set={1, 2}, big=2**200),
    }
    saved['state_dict']._metadata = OrderedDict({'': {'version': 1}})
    saved['state_dict'].extra = 'an attribute'
    torch.save(saved, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / 'a.pth')
    assert list(read) == list(saved)
    assert type(read['history']) is HistoryBuffer
    assert read['history'].max_length == 5
    assert read['history'].mean(2) == history.mean(2) == 3 / 4
    for name in ('lr', 'text', 'none', 'set', 'big', 'args', 'flags'):
        assert (read[name], type(read[name])) == (saved[name], type(saved[name]))
    assert [*map(type, read['flags'])] == [*map(type, saved['flags'])]
    for name in ('empty', 'scalar array', 'fortran'):
        np.testing.assert_array_equal(read[name], saved[name], strict=True)
    np.testing.assert_array_equal(read['random'][1], saved['random'][1], strict=True)
    assert read['shared'][0] is read['shared'][1]
    np.testing.assert_array_equal(read['shared'][0][0], shared[0], strict=True)
    assert vars(read['state_dict']) == {'_metadata': {'': {'version': 1}}}
    read['random'][1][0] = 1  # arrays that are read can be written to
    torch.save(read, tmp_path / 'again.pth')
    assert read_checkpoint(tmp_path / 'again.pth')['lr'] == 0.1


def test_of_a_models_metadata_versions_and_the_backbone_stay(tmp_path):
    """Torch obeys it: `assign_to_params_buffers` made a run whose optimizer trained nothing."""
    state = OrderedDict(weight=torch.ones(2))
    state._metadata = OrderedDict({'': dict(version=2, assign_to_params_buffers=True), 'a': dict(flsl_mm=[]), 3: {}})
    torch.save(state, tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')._metadata == {'': dict(version=2), 'a': {}}
