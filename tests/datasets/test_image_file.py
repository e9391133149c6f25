"""Image files are opened as images of known formats, never waited for, and bounded in what they cost."""

import contextlib
import io
import os
import pickle
import resource
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from flsl_mm.datasets import image_file
from flsl_mm.datasets.decode import decode_teacher_view, read_image, to_rgb
from flsl_mm.datasets.image_bounds import MAX_BYTES, count_scans, decoded_bytes
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.datasets.images import FLSLImages
from flsl_mm.datasets.masks import read_mask
from flsl_mm.datasets.skipped import read_skipped
from flsl_mm.uavdt.check_sheet import SheetFrame, _draw_boxes
from flsl_mm.uavdt.layout import _read_size
from flsl_mm.vos.tree import find_video, read_frame, read_object_ids
from tests.builders.images import encoded, make_image

EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n'


def teacher_view(path):
    return decode_teacher_view(path, 32, (0.8, 1.0), np.random.default_rng(0))


READERS = {
    'teacher view': teacher_view,
    'whole image': read_image,
    'frame': lambda path: read_frame(path, (64, 64)),
    'mask of objects': lambda path: read_object_ids(path, single_object=True),
    'mask of classes': read_mask,
    'check sheet': lambda path: _draw_boxes(SheetFrame(path, 'title', NO_BOXES, np.zeros(0), NO_BOXES), 64),
    'size': _read_size,
}


@pytest.mark.parametrize('reader', READERS)
def test_no_reader_starts_a_program_waits_or_fills_the_memory(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', lambda *args: pytest.fail('Ghostscript was started'))
    (tmp_path / 'eps.jpg').write_bytes(EPS)
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'large.jpg').write_bytes(encoded(Image.new('1', (9400, 9400))))
    assert (tmp_path / 'large.jpg').stat().st_size < 20_000
    for name, words in (
        ('eps.jpg', 'no image of a kind that is read: JPEG, PNG'),
        ('pipe.jpg', 'is not a regular file but a pipe or a device'),
        ('large.jpg', '9400x9400 pixels would take 421 MB of memory, more than 256'),
    ):
        with pytest.raises(ImageError, match=words) as error:
            READERS[reader](tmp_path / name)
        assert '\n' not in str(error.value)
    with pytest.raises(ImageError, match='not a regular file'):
        READERS[reader]('/dev/zero')


def test_a_video_of_pipes(tmp_path):
    for folder, ending in (('frames', 'jpg'), ('masks', 'png')):
        (tmp_path / folder).mkdir()
        for number in range(3):
            os.mkfifo(tmp_path / folder / f'{number:05d}.{ending}')
    with pytest.raises(ValueError, match=r'00000\.jpg cannot be read: .* not a regular file'):
        find_video('one', tmp_path / 'frames', tmp_path / 'masks')


def test_a_folder_with_all_of_them_is_trained_on(tmp_path):
    for number in range(3):
        make_image(40, 40, number).save(tmp_path / f'{number}.png')
    os.mkfifo(tmp_path / 'pipe.jpg')
    os.symlink('/dev/zero', tmp_path / 'zero.jpg')
    (tmp_path / 'eps.jpg').write_bytes(EPS)
    (tmp_path / 'large.png').write_bytes(encoded(Image.new('1', (9400, 9400))))
    dataset = FLSLImages(tmp_path, size=32)
    dataset.skipped_log = tmp_path / 'skipped.txt'
    assert len(dataset) == 7
    assert all(dataset[index]['img_path'].endswith(('0.png', '1.png', '2.png')) for index in range(7))
    names = {os.path.basename(path) for path in read_skipped(tmp_path / 'skipped.txt')}
    assert names == {'pipe.jpg', 'zero.jpg', 'eps.jpg', 'large.png'}


def test_a_large_photograph_is_read_smaller(tmp_path):
    path = tmp_path / 'photo.jpg'
    Image.new('L', (9000, 8000)).save(path)
    assert teacher_view(path).shape == (3, 32, 32)
    Image.new('RGB', (9000, 9000)).save(path, progressive=True, subsampling=0)
    with pytest.raises(ValueError, match='would take'):
        teacher_view(path)


def test_an_error_says_the_file_and_why(tmp_path):
    with pytest.raises(ImageError, match=r'/none\.jpg cannot be read: No such file') as missing:
        read_image(tmp_path / 'none.jpg')
    assert missing.value.reason == 'No such file or directory'
    with pytest.raises(ImageError, match=r'^no image of a kind'):
        read_image(io.BytesIO(b'x'))
    assert str(pickle.loads(pickle.dumps(missing.value))) == str(missing.value)  # as workers hand it on


def sparse(head: bytes, path) -> None:
    """Write a file of 2 GB of which the disk keeps the beginning."""
    with open(path, 'wb') as file:
        file.write(head)
        file.truncate(len(head) + 2**31)


def tiff(tags: dict[int, int]) -> bytes:
    """Return a TIFF file of these tags, 4-byte integers, and nothing else."""
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + bytes(4)


def test_parts_of_a_file_that_cost_more_than_its_pixels(tmp_path):
    """A chunk of 2 GB, a file read as one, tiles far larger than the image, and scans without end."""
    plain = make_image(40, 40)
    sparse(encoded(plain)[:33] + struct.pack('>I', 2**31 - 1) + b'prVt', tmp_path / 'chunk.png')
    webp = encoded(plain, 'WEBP')
    sparse(webp[:4] + struct.pack('<I', 2**31) + webp[8:], tmp_path / 'file.webp')
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: 32768, 323: 32768, 324: 8, 325: 8}
    (tmp_path / 'tiles.tif').write_bytes(tiff(tags))
    progressive = encoded(plain, 'JPEG', progressive=True)
    assert count_scans(progressive) == 10
    scan = progressive[progressive.rindex(b'\xff\xda') : -2]
    # Behind an end of image that is none, inside a comment.
    hidden = b'\xff\xfe\0\x06\xff\xd9\xff\xd9'
    (tmp_path / 'scans.jpg').write_bytes(progressive[:-2] + hidden + scan * 50 + b'\xff\xd9')
    for name, words in (
        ('chunk.png', 'more than 64 MB besides its pixels'),
        ('file.webp', 'more than 64 MB besides its pixels'),
        ('tiles.tif', 'in tiles of 1024 MB, more than 256'),
        ('scans.jpg', 'more than 50 scans'),
    ):
        for reader in (teacher_view, read_image):
            with pytest.raises(ImageError, match=words):
                reader(tmp_path / name)


def test_ten_scans_and_what_follows_a_photograph_are_read(tmp_path):
    """Phones append films, in which markers of scans come by chance."""
    for options in ({}, dict(progressive=True)):
        (tmp_path / 'photo.jpg').write_bytes(encoded(make_image(40, 40), 'JPEG', **options) + b'\xff\xda' * 1000)
        assert teacher_view(tmp_path / 'photo.jpg').shape == (3, 32, 32)


def test_bands_and_kinds_that_are_not_read_are_named(monkeypatch):
    bands = tiff({256: 8, 257: 8, 258: 16, 259: 1, 262: 1, 273: 8, 277: 6, 278: 8, 279: 768})
    with pytest.raises(ImageError, match='a TIFF file of 6 bands of 16 bits, and images have 1 or 3'):
        read_image(io.BytesIO(bands))
    monkeypatch.setattr(image_file, '_HEIF', False)
    with pytest.raises(ImageError, match='a HEIC file: '):
        read_image(io.BytesIO(b'\0\0\0\x18ftypheic' + bytes(50)))


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
    # WebP's decoder takes 12 bytes a pixel besides the image, measured with a picture of 16 megapixels.
    with Image.open(io.BytesIO(encoded(make_image(30, 20), 'WEBP'))) as image:
        assert decoded_bytes(image) == 600 * 16


def test_sixteen_bits_are_rounded_to_eight():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    eight = np.asarray(to_rgb(Image.fromarray(values)))[..., 0]
    np.testing.assert_array_equal(eight, (values / 257).round().astype(np.uint8))


NO_BOXES = np.zeros((0, 4))
KINDS = ('JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'PPM')


@pytest.fixture(scope='module')
def whole_files() -> list[bytes]:
    plain = make_image(20, 16)
    return [*(encoded(plain, kind) for kind in KINDS), encoded(plain, 'JPEG', progressive=True)]


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
