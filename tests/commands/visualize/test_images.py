"""Many images: what is written, what is skipped, how much is kept in memory, and what an interrupt leaves."""

import os
import weakref

import pytest
import torch
from PIL import ExifTags, Image

from flsl_mm.commands.visualize import images as module
from flsl_mm.commands.visualize.images import Settings, draw_images, prepare_folder, read_pixels, relative_points
from flsl_mm.commands.visualize.view import LEGEND
from flsl_mm.evaluation.features import FeatureExtractor
from tests.builders.checkpoints import tiny
from tests.builders.images import make_image

QUICK = Settings(kinds=('colors',), long_side=16)


@pytest.fixture(scope='module')
def models() -> list[FeatureExtractor]:
    return [FeatureExtractor(tiny(seed), name=f'model {seed}').eval() for seed in (3, 4)]


@pytest.fixture
def images(tmp_path) -> list:
    (tmp_path / 'in').mkdir()
    paths = [tmp_path / 'in' / f'{name}.png' for name in ('a b', 'ü<i>', 'c')]
    for seed, path in enumerate(paths):
        make_image(40 + 8 * seed, 32, seed).save(path)
    return paths


def test_each_image_gets_its_sheets_and_a_section(models, images, tmp_path):
    assert draw_images(models, images, tmp_path / 'out', Settings(long_side=32), ['made by hand']) == {}
    files = sorted(path.name for path in (tmp_path / 'out/images').iterdir())
    names = ('0001_a-b', '0002_i', '0003_c')
    sheets = [f'{name}_{kind}_{model}.png' for name in names for kind in LEGEND for model in (1, 2)]
    clickable = [f'{name}.jpg' for name in names]
    assert files == sorted([*clickable, *(sheet for sheet in sheets if '_similarity_' not in sheet)])
    page = (tmp_path / 'out/index.html').read_text(encoding='utf-8')
    assert page.count('<img') == 3 * (2 + 2 * (len(LEGEND) - 1))  # in the index, in its section, and sheets
    assert page.count('<canvas') == 3 * 2
    assert all(f'src="images/{name}"' in page for name in files)
    for text in ('What model 3 sees', 'made by hand', 'a b.png (40x32 pixels)', 'ü&lt;i&gt;.png (48x32 pixels)'):
        assert text in page
    with Image.open(tmp_path / 'out/images' / files[0]) as image:
        assert image.size == (640, 512)
        assert f'width="{image.width}" height="{image.height}"' in page
    assert 'mean of 3 images' in page


def test_only_some_images_are_clickable(models, images, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'CLICKABLE', 2)
    draw_images(models, images, tmp_path / 'out', Settings(kinds=('similarity',), long_side=16))
    page = (tmp_path / 'out/index.html').read_text(encoding='utf-8')
    assert page.count('<canvas') == 2 * 2
    assert [path.name for path in sorted((tmp_path / 'out/images').glob('*.png'))] == [
        '0003_c_similarity_1.png', '0003_c_similarity_2.png'
    ]  # fmt: skip


def test_what_cannot_be_read_is_listed(models, images, tmp_path):
    images[0].write_bytes(b'no image')
    images[1].write_bytes(images[2].read_bytes()[:200])
    skipped = draw_images(models, images, tmp_path / 'out', QUICK)
    assert list(skipped) == [str(path) for path in images[:2]]
    assert 'no image of a kind that is read' in skipped[str(images[0])]
    page = (tmp_path / 'out/index.html').read_text(encoding='utf-8')
    assert page.count('<img') == 1 + 2
    assert 'Not shown: 2 files' in page
    with pytest.raises(ValueError, match=r'none of the 2 images can be shown, .*a b\.png for one: no image of'):
        draw_images(models, images[:2], tmp_path / 'out', QUICK)


def test_points_are_pixels_of_the_file(models, images, tmp_path):
    assert relative_points([(0, 0), (9, 4)], torch.zeros(3, 5, 10)) == [(0.05, 0.1), (0.95, 0.9)]
    for outside in ((10, 0), (0, 5)):
        with pytest.raises(ValueError, match='outside the image of 10x5 pixels'):
            relative_points([outside], torch.zeros(3, 5, 10))
    settings = Settings(kinds=('similarity',), points=[(45, 3)], long_side=16)
    skipped = draw_images(models, images, tmp_path / 'out', settings)
    assert skipped == {str(images[0]): 'the point 45,3 is outside the image of 40x32 pixels'}
    exif = Image.Exif()  # images are upright
    exif[ExifTags.Base.Orientation] = 6
    make_image(40, 24).save(tmp_path / 'a.png', exif=exif)
    assert read_pixels(tmp_path / 'a.png').shape == (3, 40, 24)
    assert read_pixels(tmp_path / 'a.png').dtype == torch.uint8


def test_one_image_is_in_memory_at_a_time(models, images, tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []

    def read(path):
        pixels = read_pixels(path)
        alive.add(pixels)
        most.append(len(alive))
        return pixels

    monkeypatch.setattr(module, 'read_pixels', read)
    draw_images(models, images * 4, tmp_path / 'out', QUICK)
    assert len(most) == 24  # for the colors, and for the sheets
    assert max(most) <= 2  # the next is read while the last still has its name
    # Colors are found in a sample.
    most.clear()
    monkeypatch.setattr(module, 'BASIS_IMAGES', 2)
    draw_images(models, images * 3, tmp_path / 'out', QUICK)
    assert len(most) == 2 + 9
    assert module.common_bases(models, images, Settings(kinds=('layers',))) == [None, None]


def test_an_interrupt_leaves_a_page_of_what_is_done(models, images, tmp_path, monkeypatch):
    def read(path):
        if path == images[2]:
            raise KeyboardInterrupt
        return read_pixels(path)

    monkeypatch.setattr(module, 'read_pixels', read)
    with pytest.raises(KeyboardInterrupt):
        draw_images(models, images, tmp_path / 'out', Settings(kinds=('object',), long_side=16))
    assert (tmp_path / 'out/index.html').read_text().count('<section') == 2


def test_folders_that_cannot_be_used(tmp_path):
    prepare_folder(tmp_path / 'new/folder')
    assert list((tmp_path / 'new/folder').iterdir()) == []
    (tmp_path / 'file').touch()
    with pytest.raises(FileExistsError, match='file is a file: name a folder with --out'):
        prepare_folder(tmp_path / 'file')
    with pytest.raises(OSError, match=r'the output folder .* cannot be written') as caught:
        prepare_folder(tmp_path / 'file/below')
    assert '\n' not in str(caught.value)
    (tmp_path / 'new/index.html').write_text('<p>mine</p>')
    with pytest.raises(FileExistsError, match='not written by this program'):
        prepare_folder(tmp_path / 'new')
    assert (tmp_path / 'new/index.html').read_text() == '<p>mine</p>'


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r'the output folder .* cannot be written'):
        prepare_folder(tmp_path)
