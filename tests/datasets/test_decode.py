"""Decoding: files of every kind become upright RGB, JPEG files at a reduced size where nothing is lost."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from flsl_mm.datasets.decode import decode_teacher_view, read_image
from tests.builders.images import jpeg, make_image, png

IMAGE = make_image(64, 64, 5)


def view_of(path: Path, size: int = 64, scale: tuple[float, float] = (0.999, 1)) -> torch.Tensor:
    return decode_teacher_view(path, size, scale, np.random.default_rng(0))


def decode(tmp_path, content: bytes, name='odd.png') -> torch.Tensor:
    """Nearly whole view (a square of 64 pixels) of a file with the given content."""
    (tmp_path / name).write_bytes(content)
    return view_of(tmp_path / name).float()


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
    return decode(tmp_path_factory.mktemp('plain'), png(IMAGE))


def test_gray_cmyk_and_palette(tmp_path, expected):
    luma = (expected * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    for content, truth, limit in (
        (jpeg(IMAGE.convert('L')), luma, 2),
        (jpeg(IMAGE.convert('CMYK')), expected, 4),
        (png(IMAGE.quantize(256)), expected, 10),
    ):
        assert (decode(tmp_path, content, 'odd') - truth).abs().mean() < limit


@pytest.mark.parametrize(('suffix', 'mode'), [('png', 'I;16'), ('tif', 'I;16'), ('tif', 'I')])
def test_16_bit_is_scaled(tmp_path, expected, suffix, mode):
    gray = np.asarray(IMAGE.convert('L')).astype(np.uint16) * 257
    image = Image.fromarray(gray) if mode == 'I;16' else Image.fromarray(gray.astype(np.int32))
    assert image.mode == mode
    image.save(tmp_path / f'odd.{suffix}')
    view = decode(tmp_path, (tmp_path / f'odd.{suffix}').read_bytes(), f'odd.{suffix}')
    luma = (expected * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert (view - luma).abs().mean() < 1


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P', 'RGB'])
def test_transparency_is_put_on_white(tmp_path, mode):
    image = Image.new('RGB', (64, 64), (200, 30, 60))
    options = {}
    if mode in ('RGBA', 'LA'):
        image = image.convert(mode)
        image.putalpha(Image.new('L', (64, 64), 51))  # a fifth
    elif mode == 'P':
        image = image.quantize(2)
        options['transparency'] = image.getpixel((0, 0))
    else:
        options['transparency'] = (200, 30, 60)
    level = dict(RGBA=200, LA=0.299 * 200 + 0.587 * 30 + 0.114 * 60).get(mode, 255)
    assert decode(tmp_path, png(image, **options))[0].mean() == pytest.approx(0.8 * 255 + 0.2 * level, abs=1)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_image_gives_the_view_of_the_upright_one(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (png, jpeg)[orientation % 2](make_image(90, 50), exif=exif)

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
    views = []
    for name, content in (('stored', stored), ('upright', png(Image.fromarray(np.asarray(upright))))):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'odd.png').write_bytes(content)
        views.append(view_of(tmp_path / name / 'odd.png', 32, (0.8, 1)))
    assert torch.equal(*views)


@pytest.mark.parametrize(('encode', 'limit'), [(jpeg, 5), (png, 0.1)])
def test_broken_exif_does_not_matter(tmp_path, expected, encode, limit):
    view = decode(tmp_path, encode(IMAGE, exif=b'Exif\x00\x00XX*\x00broken'))
    assert (view - expected).abs().mean() < limit


def test_large_jpeg_is_decoded_small_without_loss(tmp_path, tmp_path_factory, monkeypatch):
    large = make_image(1200, 900, 3)
    sizes, draft = [], JpegImageFile.draft
    monkeypatch.setattr(JpegImageFile, 'draft', lambda image, *args: sizes.append(args[1]) or draft(image, *args))
    reduced = decode(tmp_path, jpeg(large), 'odd.jpg')
    assert sizes == [(150, 112)]  # an eighth still has more than 64 pixels per side
    whole = decode(tmp_path_factory.mktemp('whole'), png(large))
    assert (reduced - whole).abs().mean() < 2
    sizes.clear()
    view_of(tmp_path / 'odd.jpg', 500, (0.8, 1))
    assert sizes == []


def test_whole_images_are_upright_rgb(tmp_path):
    """Gray, 90x50 and turned by a quarter; as the teacher view, a broken EXIF block leaves the pixels as they are."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = make_image(90, 50).convert('L')
    (tmp_path / 'turned.png').write_bytes(png(stored, exif=exif))
    upright = read_image(tmp_path / 'turned.png')
    assert (upright.mode, upright.size) == ('RGB', (50, 90))
    np.testing.assert_array_equal(np.asarray(upright)[..., 0], np.rot90(np.asarray(stored), -1))
    (tmp_path / 'broken.png').write_bytes(png(stored, exif=b'Exif\x00\x00XX*\x00broken'))
    assert read_image(tmp_path / 'broken.png').size == (90, 50)
