"""Embeddings: the model's own features, whole after a kill, refused where they are others; bad images left out."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import flsl_mm
from flsl_mm.commands.embed.folder import embed
from flsl_mm.commands.embed.journal import Journal
from flsl_mm.commands.embed.table import patch_file, read_embeddings
from flsl_mm.evaluation.probes.images import fitted
from tests.builders.checkpoints import file_of, tiny
from tests.builders.images import make_image

COUNT, BAD = 9, 4

KILLED = """
import os, signal, sys
from pathlib import Path
import flsl_mm
from flsl_mm.commands.embed.folder import embed
from flsl_mm.commands.embed.journal import Journal

append, done = Journal.append, []

def kill(self, index, features):
    append(self, index, features)
    done.append(index)
    if len(done) == 4:
        self.files['mean.f32'].flush()  # what is behind the last commit lies in the file
        os.kill(os.getpid(), signal.SIGKILL)
    if len(done) == 3:
        self.commit()

Journal.append = kill
file, folder, out = map(Path, sys.argv[1:])
embed(flsl_mm.load_model(file), folder, out, 32, patches=True, interval=1e9)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Write images of two shapes, one of them no image."""
    folder = tmp_path_factory.mktemp('images')
    (folder / 'sub').mkdir()
    for number in range(COUNT):
        width, height = (64, 48) if number % 2 else (40, 40)
        make_image(width, height, seed=number).save(folder / ('sub' if number > 5 else '.') / f'{number}.png')
    (folder / f'{BAD}.png').write_bytes(b'no image')
    return folder


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('model') / 'model.pth'
    torch.save(file_of(tiny(3)), path)
    return path


@pytest.fixture(scope='module')
def model(file):
    return flsl_mm.load_model(file)


def check(embeddings, out: Path, folder: Path, model) -> None:
    """Compare embeddings with what the model gives for each image alone."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png') if path.name != f'{BAD}.png')
    assert sorted(embeddings.paths) == names
    assert list(embeddings.skipped) == [f'{BAD}.png']
    patches = np.load(patch_file(out), mmap_mode='r')
    assert patches.dtype == np.float16
    assert len(patches) == embeddings.grid_hw.prod(1).sum()
    for index, name in enumerate(embeddings.paths):
        expected = model(fitted(folder / name, 32, 8)[None])[0].numpy()
        h, w = embeddings.grid_hw[index]
        assert expected.shape[:2] == (h, w)
        np.testing.assert_allclose(embeddings.mean[index], expected.mean((0, 1)), rtol=0, atol=1e-5)
        start = embeddings.patch_start[index]
        np.testing.assert_allclose(patches[start : start + h * w].reshape(h, w, -1), expected, rtol=1e-3, atol=1e-3)


def test_embeddings_are_the_models_features(folder, model, tmp_path):
    out = tmp_path / 'a.npz'
    embed(model, folder, out, 32, patches=True)
    check(read_embeddings(out), out, folder, model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.npz', 'a_patches.npy']
    with np.load(out) as data:  # as the guide reads it
        assert data['mean'].dtype == np.float32
        assert str(data['folder']) == str(folder)


def test_a_killed_one_goes_on_where_it_was(folder, file, model, tmp_path, monkeypatch):
    out = tmp_path / 'a.npz'
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    killed = subprocess.run([sys.executable, '-c', KILLED, file, folder, out], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert (tmp_path / 'a.npz.partial/mean.f32').stat().st_size == 4 * 16 * 4  # one row more than committed

    # The kill came while it committed.
    (tmp_path / 'a.npz.partial/.state.json.00112233445566ff.partial').write_bytes(b'{')
    appended, append = [], Journal.append
    monkeypatch.setattr(Journal, 'append', lambda self, index, row: appended.append(index) or append(self, index, row))
    embed(model, folder, out, 32, patches=True)
    assert appended == [3, 5, 6, 7, 8]
    check(read_embeddings(out), out, folder, model)
    assert not (tmp_path / 'a.npz.partial').exists()


@pytest.fixture
def torn(folder, model, tmp_path, monkeypatch):
    """Embed until the last file is to be written."""

    def stop(size, **options):
        with monkeypatch.context() as patch:
            patch.setattr('flsl_mm.commands.embed.table.Embeddings.write', lambda self, path: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                embed(model, folder, tmp_path / 'a.npz', size, **options)

    return stop


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('settings.json', '[]'),
        ('state.json', '{"done": "x"}'),
        ('state.json', '{"do'),
        ('state.json', '3'),
        ('state.json', '{"done": 3, "patches": 0, "skipped": {}, "bytes": {}}'),
        ('state.json', '{"done": -2, "patches": 0, "skipped": {}, "bytes": {}}'),
        ('state.json', '{"done": 1, "patches": 20, "skipped": {}, "bytes": {"rows.i64": 24, "mean.f32": "a"}}'),
    ],
)
def test_a_damaged_journal_is_told(name, content, folder, model, tmp_path, torn):
    torn(32)
    (tmp_path / 'a.npz.partial' / name).write_text(content)
    with pytest.raises(ValueError, match=f'{name} is damaged: give --force to start over'):
        embed(model, folder, tmp_path / 'a.npz', 32)


@pytest.mark.parametrize('rows', [[[-1, 4, 4]], [[99, 4, 4]], [[0, 4, 5]], [[0, -4, -4]], [[1, 2, 4], [0, 2, 4]]])
def test_rows_that_no_embedding_has(rows, tmp_path):
    journal = Journal(tmp_path / 'journal', {})
    for index in range(2):
        journal.append(index, np.zeros((2, 4, 3), np.float32))
    journal.commit()
    journal.close()
    content = np.array(rows, np.int64).tobytes()
    (tmp_path / 'journal' / 'rows.i64').write_bytes(content)
    state = json.loads((tmp_path / 'journal' / 'state.json').read_text())
    state['bytes']['rows.i64'] = len(content)
    (tmp_path / 'journal' / 'state.json').write_text(json.dumps(state | dict(done=len(rows))))
    with pytest.raises(ValueError, match=r'state\.json is damaged: give --force to start over'):
        Journal(tmp_path / 'journal', {})


def test_means_of_other_rows(tmp_path):
    journal = Journal(tmp_path / 'journal', {})
    journal.append(0, np.zeros((2, 4, 3), np.float32))
    journal.files['mean.f32'].write(b'1234')
    journal.close()
    with pytest.raises(ValueError, match=r'mean\.f32 is damaged: give --force to start over'):
        journal.table(3)


def test_a_kill_between_the_two_files_of_the_end(folder, model, tmp_path, torn):
    out = tmp_path / 'a.npz'
    torn(32, patches=True)
    assert patch_file(out).exists()
    embed(model, folder, out, 32, patches=True)
    check(read_embeddings(out), out, folder, model)
    # No earlier file is left beside other patches.
    torn(16, patches=True, force=True)
    with pytest.raises(ValueError, match='was started with another size'):
        embed(model, folder, out, 32, patches=True)
    finished = embed(model, folder, out, 16, patches=True)
    assert len(np.load(patch_file(out))) == finished.grid_hw.prod(1).sum()


def test_a_link_in_the_place_of_the_working_folder(folder, model, tmp_path):
    (tmp_path / 'target').mkdir()
    (tmp_path / 'target/settings.json').write_text('kept')
    (tmp_path / 'a.npz.partial').symlink_to(tmp_path / 'target')
    with pytest.raises(ValueError, match=r'a\.npz\.partial is a link: remove it'):
        embed(model, folder, tmp_path / 'a.npz', 32, force=True)
    assert [path.name for path in (tmp_path / 'target').iterdir()] == ['settings.json']


def test_a_finished_or_begun_file_of_other_settings_is_kept(folder, model, tmp_path, torn):
    out = tmp_path / 'a.npz'
    torn(32)
    with pytest.raises(ValueError, match=r'partial was started with another size: repeat that command .*--force'):
        embed(model, folder, out, 40)
    embed(model, folder, out, 40, force=True)
    before = out.stat().st_mtime_ns
    embed(model, folder, out, 40)
    assert out.stat().st_mtime_ns == before
    other = flsl_mm.evaluation.features.FeatureExtractor(tiny(4)).eval()
    with pytest.raises(ValueError, match=r'exists, made with other settings \(model, patches\): .*--force'):
        embed(other, folder, out, 40, patches=True)


def test_no_image_at_all(tmp_path, model):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r'none of the 1 images .* can be read: no image of a kind'):
        embed(model, tmp_path / 'images', tmp_path / 'a.npz', 32)


def test_parquet_holds_the_same(folder, model, tmp_path):
    pytest.importorskip('pyarrow')
    for suffix in ('npz', 'parquet'):
        embed(model, folder, tmp_path / f'a.{suffix}', 32)
    one, other = (read_embeddings(tmp_path / f'a.{suffix}') for suffix in ('npz', 'parquet'))
    for name in ('mean', 'grid_hw', 'patch_start', 'paths'):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.folder, one.settings, one.skipped) == (other.folder, other.settings, other.skipped)


HOLDER = """
import sys
from flsl_mm.utils.work_folder import locked_folder
with locked_folder(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_two_programs_do_not_write_one_file(folder, model, tmp_path):
    out = tmp_path / 'a.npz'
    command = [sys.executable, '-c', HOLDER, str(tmp_path / 'a.npz.partial')]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == 'held\n'
        for force in (False, True):
            with pytest.raises(BlockingIOError, match=r'a\.npz\.partial is in use by process \d+ .*: wait'):
                embed(model, folder, out, 32, force=force)
        holder.communicate('')
    embed(model, folder, out, 32)
    assert [path.name for path in tmp_path.iterdir()] == ['a.npz']


@pytest.mark.parametrize(
    ('factor', 'line'), [(float('nan'), 'are not finite'), (1e6, r'reach .*: embed without --pat')]
)
def test_features_that_are_no_numbers_are_not_written(folder, file, tmp_path, factor, line):
    model = flsl_mm.load_model(file)
    model.backbone.norm.weight.mul_(factor)
    with pytest.raises(ValueError, match=rf'the features of .*0\.png {line}'):
        embed(model, folder, tmp_path / 'a.npz', 32, patches=True)
    assert not (tmp_path / 'a.npz').exists()


@pytest.mark.parametrize('content', ['notes of mine', ''])
def test_another_file_of_that_name_is_kept_and_told(content, folder, model, tmp_path):
    (tmp_path / 'a.npz').write_text(content)
    line = r'a\.npz is not a file of embeddings, or a damaged one: choose another name or give --force$'
    with pytest.raises(ValueError, match=line):
        embed(model, folder, tmp_path / 'a.npz')
    assert (tmp_path / 'a.npz').read_text() == content


def test_a_link_that_is_put_in_the_place_of_the_patches_is_not_followed(tmp_path):
    (tmp_path / 'target').write_bytes(b'mine' * 38)  # as many bytes as the patches
    journal = Journal(tmp_path / 'journal', {}, tmp_path / 'patches.npy')
    journal.append(0, np.zeros((2, 2, 3), np.float32))
    journal.close()
    (tmp_path / 'journal' / 'patches.npy').unlink()
    (tmp_path / 'journal' / 'patches.npy').symlink_to(tmp_path / 'target')
    with pytest.raises(ValueError, match=r'patches\.npy is a link: remove it'):
        journal.finish_patches(3)
    assert (tmp_path / 'target').read_bytes() == b'mine' * 38


def test_files_that_are_not_of_the_embeddings_are_kept(folder, model, tmp_path):
    out, partial = tmp_path / 'a.npz', tmp_path / 'a.npz.partial'
    patch_file(out).write_text('mine')
    with pytest.raises(FileExistsError, match=r'a_patches\.npy exists, without .*a\.npz: choose another name or give'):
        embed(model, folder, out, 32, patches=True)
    assert patch_file(out).read_text() == 'mine'
    patch_file(out).unlink()
    partial.mkdir()
    for name, line in (('patches.npy', 'has patches.npy, which embed did not write'), ('settings.json', 'is damaged')):
        (partial / name).write_text('mine')
        with pytest.raises(ValueError, match=line):
            embed(model, folder, out, 32, patches=True)
        assert (partial / name).read_text() == 'mine'


@pytest.mark.parametrize(
    'change',
    [
        dict(mean=np.zeros((2, 16))),
        dict(mean=np.full((8, 16), np.nan)),
        dict(paths=['a']),
        dict(patch_start=np.arange(8)),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_no_embeddings(change, folder, model, tmp_path):
    embed(model, folder, tmp_path / 'a.npz', 32)
    with np.load(tmp_path / 'a.npz') as data:
        content = dict(data) | change
    np.savez(tmp_path / 'a.npz', **content)
    with pytest.raises(ValueError, match=r'a\.npz is not a file of embeddings, or a damaged one'):
        read_embeddings(tmp_path / 'a.npz')


def test_patches_of_others_are_told(folder, model, tmp_path):
    out = tmp_path / 'a.npz'
    embed(model, folder, out, 32, patches=True)
    for write in (lambda path: np.save(path, np.load(path)[:3]), lambda path: path.write_text('mine')):
        write(patch_file(out))
        with pytest.raises(ValueError, match=r'a_patches\.npy does not hold the patch tokens of .*: give --force'):
            embed(model, folder, out, 32, patches=True)
