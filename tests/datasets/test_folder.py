"""The list of images below a folder, and what is left out of it."""

import os
import pickle

import pytest

from flsl_mm.datasets import folder as module
from flsl_mm.datasets.folder import find_images
from tests.builders.images import write_jpegs


@pytest.fixture
def folder(tmp_path):
    return write_jpegs(tmp_path / 'images')


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(module, 'print_log', lambda line, logger, level: found.append((line, level)))
    return found


def test_flat_with_other_endings_hidden_files_and_odd_names(tmp_path):
    names = ['a.JPG', 'b.jpeg', 'c d\u00e9.PNG', 'e.webp', os.fsdecode(b'f\xff.tif')]
    for name in [*names, 'notes.txt', '._a.jpg', '.hidden.jpg', 'jpg', 'g.gz']:
        (tmp_path / name).touch()
    (tmp_path / '.cache').mkdir()
    (tmp_path / '.cache' / 'h.jpg').touch()
    assert sorted(find_images(tmp_path)) == sorted(str(tmp_path / name) for name in names)
    assert list(find_images(tmp_path, ['.gz'])) == [str(tmp_path / 'g.gz')]


def test_links_are_followed_once(folder, tmp_path):
    (tmp_path / 'linked').symlink_to(folder)
    (folder / 'class0' / 'circle').symlink_to(folder)
    for name, target in (('self', 'self'), ('one', 'two'), ('two', 'one')):  # circles are passed over
        (folder / name).symlink_to(target)
    assert len(find_images(tmp_path / 'linked')) == 10


def test_paths_survive_pickling_in_little_memory(folder):
    paths = find_images(folder)
    copy = pickle.loads(pickle.dumps(paths))
    assert list(copy) == list(paths)
    many = module.PathList('/images', [b'n01440764/n01440764_%05d.JPEG' % number for number in range(10_000)])
    assert len(pickle.dumps(many)) < 10_000 * (30 + 8) + 1000
    assert many[9_999] == '/images/n01440764/n01440764_09999.JPEG'


def test_unreadable_folder_gives_one_clear_line(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if os.fsdecode(path).endswith('class1'):
            raise PermissionError(13, 'Permission denied', path)
        return scan(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(PermissionError, match=r'^no permission to read the image folder .*class1: set train_data'):
        find_images(folder)


def test_a_folder_that_links_lead_to_has_its_own_name(tmp_path):
    """Whatever order the system lists them in; a folder outside has that of the first link."""
    (tmp_path / 'in' / 'z').mkdir(parents=True)
    (tmp_path / 'in' / 'z' / '1.jpg').touch()
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / '2.jpg').touch()
    for link, target in (('a', 'z'), ('y', '../out'), ('b', '../out')):
        (tmp_path / 'in' / link).symlink_to(target)
    paths = find_images(tmp_path / 'in')
    assert [paths.name(index) for index in range(len(paths))] == ['b/2.jpg', 'z/1.jpg']


def test_what_is_left_out_is_counted_by_ending(tmp_path, lines):
    for name in ['0.jpg', *(f'{n}.HEIC' for n in range(40)), *(f'{n}.txt' for n in range(3)), 'x.tar', 'README']:
        (tmp_path / name).touch()
    assert len(find_images(tmp_path, ['.jpg'])) == 1
    ((line, level),) = lines
    assert f'left out of {tmp_path}: 40 .heic, 3 .txt, 1 ' in line
    assert 'pip install pillow-heif' in line
    assert 'FLSLShards' in line
    assert level == module.logging.WARNING
    (tmp_path / '0.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'no image but 40 \.heic, .* in the folder .*: pip install pillow'):
        find_images(tmp_path, ['.jpg'])


def test_labels_beside_images_are_no_warning(tmp_path, lines):
    for name in ('0.jpg', '1.jfif', '0.txt'):
        (tmp_path / name).touch()
    assert len(find_images(tmp_path)) == 2
    assert lines == [(f'left out of {tmp_path}: 1 .txt', module.logging.INFO)]
