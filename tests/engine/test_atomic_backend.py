"""MMEngine's writes go through the atomic writer, and an error says what to do."""

from __future__ import annotations

import os

import pytest
from mmengine.fileio import get_file_backend

from flsl_mm.engine.atomic_backend import FLSLAtomicBackend

BACKEND = dict(backend='FLSLAtomicBackend')


def test_writes_and_makes_folders(tmp_path):
    backend = get_file_backend(backend_args=BACKEND)
    path = tmp_path / 'new' / 'file.pth'
    backend.put(b'one', path)
    backend.put(b'two', str(path))
    assert path.read_bytes() == b'two'
    backend.put_text('drei\u2026', path)
    assert path.read_text('utf-8') == 'drei\u2026'
    assert os.listdir(path.parent) == ['file.pth']


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_full_disk_keeps_the_earlier_file(tmp_path):
    path = tmp_path / 'file.pth'
    path.write_bytes(b'good')
    # Every write to this device fails as on a full disk.
    (tmp_path / f'.file.pth.{os.getpid()}.partial').symlink_to('/dev/full')
    with pytest.raises(OSError, match=r'cannot write .*file\.pth \(No space left on device\); earlier .* make room'):
        FLSLAtomicBackend().put(b'new', path)
    assert path.read_bytes() == b'good'
    assert os.listdir(tmp_path) == ['file.pth']
