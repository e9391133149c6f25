"""A folder with bad files trains through, and so does one that shrinks."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.hooks import Hook
from PIL import Image

from flsl_mm.datasets.skipped import read_skipped
from tests.builders.children import OUTPUT, train, with_hook
from tests.builders.images import jpeg, make_image, png
from tests.builders.toy_run import WORKERS, toy_config, write_images

EPOCHS = 2
OPTIONS = WORKERS | dict(train_dataloader__batch_size=16, train_cfg__max_epochs=EPOCHS)
USED = 'used.txt'


def write_odd_files(folder: Path) -> None:
    """Write files that cannot be used, and unusual ones that can."""
    image, small = make_image(), png(make_image())
    transparent = image.copy()
    transparent.putalpha(image.convert('L'))
    bad = {
        'truncated.jpg': jpeg(image)[:900],
        'empty.png': b'',
        '1x1.png': png(image.resize((1, 1))),
        'bomb.png': small[:16] + (30_000).to_bytes(4, 'big') * 2 + small[24:],  # its header promises 900 million pixels
        'text.jpg': b'this is not an image',
    }
    for name, content in bad.items():
        (folder / f'bad_{name}').write_bytes(content)
    image.convert('L').save(folder / 'good_gray.png')
    image.convert('CMYK').save(folder / 'good_cmyk.jpg')
    Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257).save(folder / 'good_16bit.png')
    transparent.save(folder / 'good_transparent.png')
    image.convert('P').save(folder / 'good_palette.gif')


class WriteUsed(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        with open(Path(runner.work_dir) / USED, 'a') as file:
            file.writelines(f'{Path(path).name}\n' for path in data_batch['img_path'])


class Remove(Hook):
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            for path in Path(runner.train_dataloader.dataset.paths.root).glob(self.pattern):
                path.unlink()


@pytest.fixture
def folder(tmp_path):
    """200 files, of which 10, a twentieth, are odd, half of them unusable."""
    folder = write_images(tmp_path / 'images', count=190)
    write_odd_files(folder)
    return folder


def test_bad_files_are_skipped_counted_and_listed(folder, tmp_path):
    work_dir, used = tmp_path / 'work', with_hook(WriteUsed())
    assert train(toy_config(folder, work_dir, train_dataloader__drop_last=False, **OPTIONS), prepare=used) == 0
    bad, good = ({path.name for path in folder.glob(f'{kind}_*')} for kind in ('bad', 'good'))
    skipped = read_skipped(work_dir / 'skipped_images.txt')
    assert {Path(path).name for path in skipped} == bad
    assert all(reason for reason in skipped.values())
    used = (work_dir / USED).read_text().split()
    assert len(used) == EPOCHS * 200
    assert all(used.count(name) >= EPOCHS for name in good)
    assert not any(name.startswith('bad') for name in used)
    output = (work_dir / OUTPUT).read_text()
    assert f'5 of 200 image files could not be used; they are listed in {work_dir / "skipped_images.txt"}' in output


def test_folder_that_shrinks_during_the_run(folder, tmp_path):
    work_dir = tmp_path / 'work'
    assert train(toy_config(folder, work_dir, **OPTIONS), prepare=with_hook(Remove('*[02468].png'))) == 0
    skipped = read_skipped(work_dir / 'skipped_images.txt')
    gone = [path for path, reason in skipped.items() if 'No such file' in reason]
    # Of 95 images that are gone, the loader had read up to 7 batches ahead of the first epoch.
    assert 80 < len(gone) <= 95
    assert 'image files could not be used' in (work_dir / OUTPUT).read_text()


def test_folder_that_is_emptied_ends_the_run_with_a_line(folder, tmp_path):
    work_dir = tmp_path / 'work'
    assert train(toy_config(folder, work_dir, **OPTIONS), prepare=with_hook(Remove('*'))) == 2
    last = (work_dir / OUTPUT).read_text().splitlines()[-1]
    assert '100 images drawn in a row' in last
    assert 'cannot be read' in last
