"""Reading and writing files: mistakes get one line, and a file is written atomically."""

import contextlib
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from flsl_mm.checkpoint import CheckpointError, find_backbone, read_checkpoint, write_checkpoint, write_safetensors
from flsl_mm.checkpoint.files import OLD_FORMAT, _explain
from tests.builders.checkpoints import file_of, same, tiny, training


def test_a_safetensors_file_of_too_many_names(tmp_path):
    header = {f'k{i}': dict(dtype='F32', shape=[0], data_offsets=[0, 0]) for i in range(20_001)}
    text = json.dumps(header).encode()
    (tmp_path / 'a.safetensors').write_bytes(len(text).to_bytes(8, 'little') + text)
    with pytest.raises(CheckpointError, match=r'is refused: it names 20,001 tensors, and no model has 20,000'):
        read_checkpoint(tmp_path / 'a.safetensors')


def test_safetensors(tmp_path):
    path, content = tmp_path / 'a.safetensors', file_of(tiny(3))
    write_safetensors(content, path)
    read = read_checkpoint(path)
    assert same(read['state_dict'], content['state_dict'])
    assert read['meta'] == content['meta']
    write_safetensors(content, path, with_meta=False)
    assert same(read_checkpoint(path), content['state_dict'])
    (tmp_path / 'cut.safetensors').write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match='truncated'):
        read_checkpoint(tmp_path / 'cut.safetensors')
    content['state_dict']['norm.bias'][0] = float('nan')
    with pytest.raises(CheckpointError, match=r'a\.safetensors is not written: .*norm\.bias'):
        write_safetensors(content, path)


@pytest.mark.parametrize('said', ['{', '[' * 20_000, '"text"', '{"arch": 3}'])
def test_nonsense_said_of_safetensors_raises_nothing_else(tmp_path, said):
    save_file(tiny(3).state_dict(), tmp_path / 'a.safetensors', metadata={'flsl_mm': said})
    with contextlib.suppress(CheckpointError):
        assert find_backbone(read_checkpoint(tmp_path / 'a.safetensors')).spec.embed_dim == 16


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'is empty'),
        (b'\n <!DOCTYPE html><html>Sign in</html>', 'web page'),
        (b'\xef\xbb\xbf<html>', 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'git lfs pull'),
        (b'just text, no checkpoint', 'not a readable checkpoint'),
        (b'PK\x03\x04 and then nothing', 'not a readable checkpoint'),
        (b'\x81\xa6params\x81\xa9embedding', 'JAX programs save weights'),
        (b'\x93NUMPY\x01\x00v\x00', 'is a NumPy array'),
        (bytes(600), 'starts with zeros, as a copy or download that broke off'),
    ],
)
def test_what_is_saved_under_a_checkpoints_name_by_mistake(tmp_path, content, words):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as error:
        read_checkpoint(path)
    assert '\n' not in str(error.value)


def test_archives_of_other_programs_are_named(tmp_path):
    np.savez(tmp_path / 'a.npz', **{'Transformer/encoder_norm/bias': np.ones(3)})
    with pytest.raises(CheckpointError, match=r'is a NumPy archive \(\.npz\), as JAX programs save weights'):
        read_checkpoint(tmp_path / 'a.npz')
    for names, words in (
        (('b/data.pkl', 'b/code/__torch__.py', 'b/constants.pkl'), 'is a TorchScript program'),
        (('text.txt',), r'a zip file without data\.pkl'),
    ):
        with zipfile.ZipFile(tmp_path / 'b.pt', 'w') as archive:
            for name in names:
                archive.writestr(name, 'text')
        with pytest.raises(CheckpointError, match=words):
            read_checkpoint(tmp_path / 'b.pt')


def test_the_first_bytes_decide(tmp_path, monkeypatch):
    """A search for archives in 100 MB of zeros took half a minute."""
    path = tmp_path / 'zeros.pth'
    with path.open('wb') as file:
        file.truncate(10**9)
    read = []
    original = Path.open
    monkeypatch.setattr(Path, 'open', lambda self, *args: read.append(original(self, *args)) or read[-1])
    monkeypatch.setattr('builtins.open', lambda *args, **kwargs: pytest.fail('the file was opened again'))
    with pytest.raises(CheckpointError, match='starts with zeros'):
        read_checkpoint(path)
    assert len(read) == 1


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe.pth')
    for path in (tmp_path / 'pipe.pth', '/dev/zero'):
        with pytest.raises(CheckpointError, match='is a pipe or a device'):
            read_checkpoint(path)


def test_long_messages_end_with_a_word():
    line = _explain(Path('a.pth'), ValueError(' '.join(['antidisestablishmentarianism'] * 9) + '\nand more'))
    assert line.endswith('antidisestablishmentarianism ...)')
    assert len(line) < 250


def test_missing_file_folder_address_and_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth does not exist'):
        read_checkpoint(tmp_path / 'nothing.pth')
    with pytest.raises(IsADirectoryError, match=r'is a folder: give a file; there is no \.pth in it'):
        read_checkpoint(tmp_path)
    for name in ('epoch_2_backbone.pth', 'epoch_2.pth'):
        (tmp_path / name).touch()
    with pytest.raises(IsADirectoryError, match=r'give a file in it, such as .*epoch_2_backbone\.pth$'):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match='nothing is downloaded'):
        read_checkpoint('https://example.com/a.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='holds a list'):
        read_checkpoint(tmp_path / 'list.pth')


@pytest.mark.parametrize('name', ['list.pth', 'PK.pth', '\x80\x02' + OLD_FORMAT.decode('latin1')])
def test_tar_files_are_refused_whatever_they_start_with(tmp_path, name):
    (tmp_path / 'a').write_bytes(b'content')
    with tarfile.open(tmp_path / 'a.tar', 'w', encoding='latin1') as archive:
        archive.add(tmp_path / 'a', arcname=name)
    with pytest.raises(CheckpointError, match=r'tar format of torch 0\.1'):
        read_checkpoint(tmp_path / 'a.tar')


@given(share=st.floats(0, 0.99), zipped=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_files_get_one_line(tmp_path, share, zipped):
    path = tmp_path / 'cut.pth'
    torch.save(training(), path, _use_new_zipfile_serialization=zipped)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert '\n' not in str(error.value)


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / 'a.pth'
    write_checkpoint({'a': torch.ones(1)}, path)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        write_checkpoint({'a': torch.zeros(1), 'b': lambda: None}, path)
    assert read_checkpoint(path)['a'] == 1
    assert os.listdir(tmp_path) == ['a.pth']
