"""Image files are opened as images of known formats, never waited for, and bounded in what they cost."""

from __future__ import annotations

import contextlib
import io
import os
import resource

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from flsl_mm.datasets.decode import decode_teacher_view, read_image, to_rgb
from flsl_mm.datasets.image_file import MAX_BYTES, decoded_bytes
from flsl_mm.datasets.images import FLSLImages, read_skipped
from flsl_mm.datasets.masks import read_mask
from flsl_mm.uavdt.check_sheet import SheetFrame, _draw_boxes
from flsl_mm.uavdt.layout import _read_size
from flsl_mm.vos.tree import find_video, read_frame, read_object_ids
from tests.images import make_image

EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n'


def encoded(image: Image.Image, kind: str = 'PNG', **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def teacher_view(path):
    return decode_teacher_view(path, 32, (0.8, 1.0), np.random.default_rng(0))


READERS = {
    'teacher view': teacher_view,
    'whole image': read_image,
    'frame': lambda path: read_frame(path, (64, 64)),
    'mask of objects': lambda path: read_object_ids(path, single_object=True),
    'mask of classes': read_mask,
    'check sheet': lambda path: _draw_boxes(
        SheetFrame(path, 'title', np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4))), 64
    ),
    'size': _read_size,
}


def black_and_white(side: int) -> bytes:
    return encoded(Image.new('1', (side, side)), 'PNG')


@pytest.mark.parametrize('reader', READERS)
def test_no_reader_starts_a_program_waits_or_fills_the_memory(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', lambda *args: pytest.fail('Ghostscript was started'))
    (tmp_path / 'eps.jpg').write_bytes(EPS)
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'large.jpg').write_bytes(black_and_white(9400))
    assert (tmp_path / 'large.jpg').stat().st_size < 20_000
    for name, words in (
        ('eps.jpg', 'no image of a kind that is read: JPEG, PNG'),
        ('pipe.jpg', 'is not a regular file but a pipe or a device'),
        ('large.jpg', '9400x9400 pixels would take 421 MB of memory, more than 256'),
    ):
        with pytest.raises((ValueError, OSError), match=words) as error:
            READERS[reader](tmp_path / name)
        assert '\n' not in str(error.value)
    with pytest.raises((ValueError, OSError), match='not a regular file'):
        READERS[reader]('/dev/zero')


def test_a_video_of_pipes(tmp_path):
    for folder, ending in (('frames', 'jpg'), ('masks', 'png')):
        (tmp_path / folder).mkdir()
        for number in range(3):
            os.mkfifo(tmp_path / folder / f'{number:05d}.{ending}')
    with pytest.raises(ValueError, match=r'00000\.jpg is unreadable: .* not a regular file'):
        find_video('one', tmp_path / 'frames', tmp_path / 'masks')


def test_a_folder_with_all_of_them_is_trained_on(tmp_path):
    for number in range(3):
        make_image(40, 40, number).save(tmp_path / f'{number}.png')
    os.mkfifo(tmp_path / 'pipe.jpg')
    os.symlink('/dev/zero', tmp_path / 'zero.jpg')
    (tmp_path / 'eps.jpg').write_bytes(EPS)
    (tmp_path / 'large.png').write_bytes(black_and_white(9400))
    dataset = FLSLImages(tmp_path, size=32)
    dataset.skipped_log = tmp_path / 'skipped.txt'
    assert len(dataset) == 7
    assert all(dataset[index]['img_path'].endswith(('0.png', '1.png', '2.png')) for index in range(7))
    names = {os.path.basename(path) for path in read_skipped(tmp_path / 'skipped.txt')}
    assert names == {'pipe.jpg', 'zero.jpg', 'eps.jpg', 'large.png'}


def test_a_large_photograph_is_read_smaller(tmp_path):
    """A reduced JPEG file never takes its full size."""
    path = tmp_path / 'photo.jpg'
    Image.new('L', (9000, 8000)).save(path)
    assert teacher_view(path).shape == (3, 32, 32)
    Image.new('RGB', (9000, 9000)).save(path, progressive=True, subsampling=0)
    with pytest.raises(ValueError, match='would take'):
        teacher_view(path)


@pytest.mark.parametrize(
    ('mode', 'options', 'each'),
    [
        ('1', {}, 1 + 4),
        ('P', {}, 1 + 4),
        ('P', dict(transparency=0), 1 + 4 + 4 + 4),
        ('RGB', {}, 4),
        ('RGBA', {}, 4 + 4 + 4 + 4),
        ('I;16', {}, 2 + 4 + 1 + 4),
    ],
)
def test_bytes_of_a_pixel(mode, options, each):
    """What the file has, what it becomes, and what lies between: at most what measuring gave."""
    with Image.open(io.BytesIO(encoded(Image.new(mode, (30, 20)), **options))) as image:
        assert decoded_bytes(image) == 600 * each


def test_sixteen_bits_are_rounded_to_eight():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    eight = np.asarray(to_rgb(Image.fromarray(values)))[..., 0]
    np.testing.assert_array_equal(eight, (values / 257).round().astype(np.uint8))


KINDS = ('JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'PPM')


@pytest.fixture(scope='module')
def whole_files() -> list[bytes]:
    return [encoded(make_image(20, 16), kind) for kind in KINDS] + [
        encoded(make_image(20, 16), 'JPEG', progressive=True)
    ]


@given(
    kind=st.integers(0, 7),
    keep=st.floats(0.2, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    head=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3),
)
@settings(max_examples=80, deadline=None)
def test_damaged_files_cost_little(kind, keep, changes, head, whole_files, tmp_path_factory):
    content = bytearray(whole_files[kind])
    for place, value in changes:
        content[int(place * len(content))] = value
    for place, value in head:
        content[min(place, len(content) - 1)] = value
    path = tmp_path_factory.getbasetemp() / 'damaged.jpg'
    path.write_bytes(content[: max(1, int(keep * len(content)))])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reader in (teacher_view, read_image):
        with contextlib.suppress(Exception):
            reader(path)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 2 * MAX_BYTES
