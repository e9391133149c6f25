"""A folder with bad files trains through, and so does one that shrinks."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from flsl_mm.datasets.skipped import read_skipped
from tests.builders.children import OUTPUT, train
from tests.builders.images import make_image
from tests.builders.toy_run import toy_config, write_images

EPOCHS = 2
OPTIONS = dict(
    train_dataloader__batch_size=16,
    train_dataloader__num_workers=2,
    train_dataloader__persistent_workers=True,
    train_cfg__max_epochs=EPOCHS,
)
USED = 'used.txt'


def bomb() -> bytes:
    """Make a PNG file of a few bytes whose header promises 900 million pixels."""
    header = struct.pack('>IIBBBBB', 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(bytes(1000))), (b'IEND', b'')]
    packed = (struct.pack('>I', len(d)) + k + d + struct.pack('>I', zlib.crc32(k + d)) for k, d in chunks)
    return b'\x89PNG\r\n\x1a\n' + b''.join(packed)


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def odd_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Make files that cannot be used, and unusual ones that can."""
    image = make_image()
    deep = Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257)
    transparent = image.copy()
    transparent.putalpha(image.convert('L'))
    bad = {
        'bad_truncated.jpg': encoded(image, 'JPEG')[:900],
        'bad_empty.png': b'',
        'bad_1x1.png': encoded(image.resize((1, 1)), 'PNG'),
        'bad_bomb.png': bomb(),
        'bad_text.jpg': b'this is not an image',
    }
    good = {
        'good_gray.png': encoded(image.convert('L'), 'PNG'),
        'good_cmyk.jpg': encoded(image.convert('CMYK'), 'JPEG'),
        'good_16bit.png': encoded(deep, 'PNG'),
        'good_transparent.png': encoded(transparent, 'PNG'),
        'good_palette.gif': encoded(image.convert('P'), 'GIF'),
    }
    return bad, good


class WriteUsed(Hook):
    """Writes the names of the files in each batch to the work folder."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        with open(Path(runner.work_dir) / USED, 'a') as file:
            file.writelines(f'{Path(path).name}\n' for path in data_batch['img_path'])


class Remove(Hook):
    """Removes files of the training folder after the third iteration."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            for path in Path(runner.train_dataloader.dataset.paths.root).glob(self.pattern):
                path.unlink()


def write_used(runner: Runner) -> None:
    runner.register_hook(WriteUsed())


def remove_half(runner: Runner) -> None:
    runner.register_hook(Remove('*[02468].png'))


def remove_all(runner: Runner) -> None:
    runner.register_hook(Remove('*'))


@pytest.fixture
def folder(tmp_path):
    """200 files, of which 10, a twentieth, are odd, half of them unusable."""
    folder = write_images(tmp_path / 'images', count=190)
    bad, good = odd_files()
    for name, content in (bad | good).items():
        (folder / name).write_bytes(content)
    return folder


def test_bad_files_are_skipped_counted_and_listed(folder, tmp_path):
    work_dir = tmp_path / 'work'
    assert train(toy_config(folder, work_dir, train_dataloader__drop_last=False, **OPTIONS), prepare=write_used) == 0
    bad, good = odd_files()
    skipped = read_skipped(work_dir / 'skipped_images.txt')
    assert {Path(path).name for path in skipped} == set(bad)
    assert all(reason for reason in skipped.values())
    used = (work_dir / USED).read_text().split()
    assert len(used) == EPOCHS * 200
    assert all(used.count(name) >= EPOCHS for name in good)
    assert not any(name.startswith('bad') for name in used)
    output = (work_dir / OUTPUT).read_text()
    assert f'5 of 200 image files could not be used; they are listed in {work_dir / "skipped_images.txt"}' in output


def test_folder_that_shrinks_during_the_run(folder, tmp_path):
    work_dir = tmp_path / 'work'
    assert train(toy_config(folder, work_dir, **OPTIONS), prepare=remove_half) == 0
    skipped = read_skipped(work_dir / 'skipped_images.txt')
    gone = [path for path, reason in skipped.items() if 'No such file' in reason]
    # Of 95 images that are gone, the loader had read up to 7 batches ahead of the first epoch.
    assert 80 < len(gone) <= 95
    assert 'image files could not be used' in (work_dir / OUTPUT).read_text()


def test_folder_that_is_emptied_ends_the_run_with_a_line(folder, tmp_path):
    work_dir = tmp_path / 'work'
    assert train(toy_config(folder, work_dir, **OPTIONS), prepare=remove_all) == 2
    last = (work_dir / OUTPUT).read_text().splitlines()[-1]
    assert '100 images drawn in a row' in last
    assert 'cannot be read' in last
