"""Files are written atomically."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from flsl_mm.utils import fileio
from flsl_mm.utils.fileio import append, atomic_writer, open_in_place, remove_partial, write_json, write_text


@pytest.fixture
def path(tmp_path) -> Path:
    """Return the path of a file that is there."""
    path = tmp_path / 'file.txt'
    path.write_bytes(b'good')
    return path


def test_file_takes_its_name_at_the_end(path):
    with atomic_writer(path) as file:
        file.write(b'new')
        file.flush()
        assert path.read_bytes() == b'good'
    assert path.read_bytes() == b'new'
    assert os.listdir(path.parent) == ['file.txt']


def test_text_is_utf_8_with_the_line_ends_that_were_asked_for(path):
    write_text(str(path), 'drei\u2026')
    assert path.read_bytes() == b'drei\xe2\x80\xa6'
    with atomic_writer(path, 'w', newline='\r\n') as file:
        file.write('a\n')
    assert path.read_bytes() == b'a\r\n'


def test_json_has_no_numbers_that_json_does_not_know(path):
    write_json(path, dict(a=[float('inf'), (float('nan'), 0.5)], b=float('-inf'), c='NaN', d=None))
    assert json.loads(path.read_text()) == dict(a=[None, [None, 0.5]], b=None, c='NaN', d=None)


def test_permissions_are_those_of_any_new_file(path):
    path.with_name('other').touch()
    write_text(path, 'new')
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.with_name('other').stat().st_mode)


def test_full_disk_keeps_the_earlier_file(path, full_disk):
    with pytest.raises(OSError, match='No space left on device'):
        write_text(path, 'new')
    assert path.read_bytes() == b'good'
    assert os.listdir(path.parent) == ['file.txt']


def test_no_link_is_followed(path, monkeypatch):
    link = path.with_name('link.txt')
    link.symlink_to(path)
    write_text(link, 'new')
    assert (link.read_text(), link.is_symlink()) == ('new', False)
    # Even one under the temporary name, if it could be guessed.
    monkeypatch.setattr(os, 'urandom', bytes)
    path.with_name(f'.other.txt.{"00" * 8}.partial').symlink_to(path)
    with pytest.raises(FileExistsError):
        write_text(path.with_name('other.txt'), 'new')
    assert path.read_bytes() == b'good'


def test_a_long_name(path):
    write_text(path.with_name('\u00e4' * 127), 'new')
    assert path.with_name('\u00e4' * 127).read_text() == 'new'


def test_a_file_that_is_added_to(path):
    with open_in_place(path) as file:
        file.write(b' one')
    assert path.read_bytes() == b'good one'
    with open_in_place(path.with_name('new')):
        pass
    assert path.with_name('new').read_bytes() == b''


@pytest.mark.parametrize(
    ('plant', 'line'),
    [
        (lambda place, target: place.symlink_to(target), 'is a link: remove it'),
        (lambda place, target: place.symlink_to('nowhere'), 'is a link: remove it'),
        (lambda place, target: place.hardlink_to(target), 'is a second name of another file: remove it'),
        (lambda place, target: os.mkfifo(place), 'is not a regular file: remove it'),
    ],
)
def test_what_would_lead_elsewhere_is_not_added_to(plant, line, path):
    place = path.with_name('place')
    plant(place, path)
    with pytest.raises(ValueError, match=f'place {line}'):
        open_in_place(place)
    assert path.read_bytes() == b'good'
    assert not path.with_name('nowhere').exists()


@pytest.mark.parametrize('function', ['fsync', 'replace'])
def test_nothing_is_left_after_a_failure(function, path, monkeypatch):
    def fail(*args):
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match='Input/output error') as caught:
        write_text(path, 'new')
    assert caught.value.errno == errno.EIO
    assert path.read_bytes() == b'good'
    assert os.listdir(path.parent) == ['file.txt']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error_in_the_block(error, path):
    def write() -> None:
        with atomic_writer(path) as file:
            file.write(b'half')
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b'good'
    assert os.listdir(path.parent) == ['file.txt']


def test_several_files_take_their_names_when_all_are_written(path):
    other = path.with_name('other')

    def write(error: Exception | None) -> None:
        with ExitStack() as stack:
            for file in [stack.enter_context(atomic_writer(name)) for name in (path, other)]:
                file.write(b'new')
            if error:
                raise error

    with pytest.raises(ValueError, match='after both'):
        write(ValueError('after both'))
    assert (path.read_bytes(), other.exists()) == (b'good', False)
    write(None)
    assert path.read_bytes() == other.read_bytes() == b'new'


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    path, calls = tmp_path / 'file', []

    def fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append((is_folder, path.exists(), None if is_folder else os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, 'fsync', fsync)
    write_text(path, 'new')
    # The file before it is renamed, the folder afterwards.
    assert calls == [(False, False, 3), (True, True, None)]
    with atomic_writer(path, flush=False) as file:
        file.write(b'newer')
    assert path.read_bytes() == b'newer'
    assert len(calls) == 2


KILLED = """
import os, signal, sys
from flsl_mm.utils.fileio import atomic_writer
with atomic_writer(sys.argv[1]) as file:
    file.write(b'half')
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_leaves_is_removed(path):
    kept = ['.hidden', '.thesis.partial', f'.other.md.{"0" * 16}.partial', 'file.txt']
    for name in kept[:3]:
        (path.parent / name).touch()
    (path.parent / f'.folder.txt.{"0" * 16}.partial').mkdir()
    assert subprocess.run([sys.executable, '-c', KILLED, str(path)]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b'good'
    assert len(os.listdir(path.parent)) == 6
    remove_partial(path.parent, re.compile(r'.*\.txt'))
    assert set(os.listdir(path.parent)) == {*kept, f'.folder.txt.{"0" * 16}.partial'}


def test_imports_the_standard_library_only():
    program = f'import runpy, sys; runpy.run_path({fileio.__file__!r}); print(*sys.modules)'
    modules = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True).stdout
    roots = {name.partition('.')[0] for name in modules.split()}
    assert {'torch', 'numpy', 'mmengine', 'PIL', 'flsl_mm'}.isdisjoint(roots)


@pytest.mark.parametrize('kind', ['link', 'second name', 'pipe', 'nothing'])
def test_what_is_in_the_place_of_a_file_that_grows_is_replaced(kind, path):
    grows = path.with_name('grows')
    make = {'link': lambda: grows.symlink_to(path), 'second name': lambda: grows.hardlink_to(path)}
    make.get(kind, lambda: os.mkfifo(grows) if kind == 'pipe' else None)()
    append(grows, b'one')
    append(grows, b' two')
    assert (grows.read_bytes(), path.read_bytes()) == (b'one two', b'good')


def test_a_file_that_grows_stays_in_the_folder_that_was_opened(path):
    path.with_name('folder').mkdir()
    folder = os.open(path.with_name('folder'), os.O_RDONLY)
    path.with_name('folder').rename(path.with_name('moved'))
    append('file', b'one', folder)
    os.close(folder)
    assert (path.with_name('moved') / 'file').read_bytes() == b'one'
