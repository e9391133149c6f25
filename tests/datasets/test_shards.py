"""Images in tar files are those of the folder that was packed."""

import gzip
import io
import pickle
import subprocess
import tarfile

import pytest
import torch
from torch.utils.data import DataLoader

from flsl_mm.datasets import shards as module
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.datasets.images import FLSLImages
from flsl_mm.datasets.shards import FLSLShards
from flsl_mm.datasets.skipped import read_skipped
from tests.builders.images import jpeg, make_image

SIZE = 32


@pytest.fixture
def folders(tmp_path):
    """Ten images as files, and in two shards with what else WebDataset puts there."""
    files, shards = tmp_path / 'files', tmp_path / 'shards'
    files.mkdir()
    (shards / 'nested').mkdir(parents=True)
    for number in range(10):
        (files / f'{number}.jpg').write_bytes(jpeg(make_image(60 + number, 50, number)))
    for shard, numbers in (('a.tar', range(4)), ('nested/b.tar', range(4, 10))):
        with tarfile.open(shards / shard, 'w') as tar:
            for number in numbers:
                tar.add(files / f'{number}.jpg', f'./{number}.jpg')
                add(tar, f'./{number}.cls', b'3')
                add(tar, f'./._{number}.jpg', b'of macOS')
    return files, shards


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def test_items_are_those_of_the_folder(folders):
    """In any epoch; with the path of the image inside its shard; a shard by its path."""
    files, shards = (dataset(root, size=SIZE) for dataset, root in zip((FLSLImages, FLSLShards), folders, strict=True))
    assert len(shards) == 10
    for index in (0, 3, 4, 9, 17, 36):
        assert torch.equal(shards[index]['inputs'], files[index]['inputs'])
    shard = folders[1] / 'a.tar'
    assert shards[0]['img_path'] == str(shard / '0.jpg')
    one = FLSLShards(shard, size=SIZE)
    assert list(one.paths) == [str(shard / f'{number}.jpg') for number in range(4)]
    assert torch.equal(one[3]['inputs'], shards[3]['inputs'])
    shard.write_bytes(shard.read_bytes()[:600])  # cut off after the start
    with pytest.raises(ImageError, match='ends inside the file'):
        FLSLShards.open(one, 1)


def test_workers_read_the_same_shards(folders):
    dataset = FLSLShards(folders[1], size=SIZE)
    expected = [dataset[index]['inputs'] for index in range(10)]  # opens the files before the workers start
    batches = list(DataLoader(dataset, batch_size=2, num_workers=2))
    assert torch.equal(torch.cat([batch['inputs'] for batch in batches]), torch.stack(expected))
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.files == {}
    assert torch.equal(copy[5]['inputs'], expected[5])


def test_a_damaged_image_is_skipped_and_listed(folders, tmp_path):
    with tarfile.open(folders[1] / 'c.tar', 'w') as tar:
        add(tar, 'broken.jpg', b'no image')
    dataset = FLSLShards(folders[1], size=SIZE)
    dataset.skipped_log = tmp_path / 'skipped.txt'
    position = [path.endswith('broken.jpg') for path in dataset.paths].index(True)
    assert not dataset[position]['img_path'].endswith('broken.jpg')
    assert list(read_skipped(dataset.skipped_log)) == [str(folders[1] / 'c.tar' / 'broken.jpg')]


def test_more_shards_than_may_be_open(folders, monkeypatch):
    expected = [item['inputs'] for item in map(FLSLShards(folders[1], size=SIZE).__getitem__, range(10))]
    monkeypatch.setattr(module, 'MAX_OPEN', 1)
    monkeypatch.setattr(module, 'get_worker_info', lambda: 'of a worker')
    monkeypatch.delattr('os.pread')  # not on every system
    dataset = FLSLShards(folders[1], size=SIZE)
    for index in (0, 9, 1, 8):
        assert torch.equal(dataset[index]['inputs'], expected[index])
        assert len(dataset.files) == 1


def member_of_size(size: bytes, kind: bytes = b'0') -> bytes:
    """Return the header of a member whose size is written as given, with a valid sum."""
    header = bytearray(tarfile.TarInfo('a.txt').tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[148:156], header[156:157] = size, b' ' * 8, kind
    header[148:156] = f'{sum(header):06o}\0 '.encode()
    return bytes(header)


@pytest.mark.parametrize(
    'header',
    [
        member_of_size(b'\xff' * 10 + b'\xfe\x00'),  # -512: the same header again
        member_of_size(b'\x80' + b'\xff' * 11),
        member_of_size(b'10000000000\0', b'x'),  # a pax header of 1 GB
        member_of_size(b'10000000000\0', b'L'),
    ],
    ids=['negative', 'huge', 'pax', 'name'],
)
def test_a_size_that_no_member_has(folders, header):
    shard = folders[1] / 'a.tar'
    with tarfile.open(shard) as tar:
        end = tar.getmembers()[-1].offset
    with open(shard, 'r+b') as file:
        file.seek(end)
        file.write(header)
        file.truncate(end + len(header) + 2**31)
    with pytest.raises(ValueError, match=r'a\.tar is damaged or cut off'):
        FLSLShards(folders[1])


def test_shards_are_found_as_images_are(folders):
    """Behind links to folders, in capitals; what is hidden, and folders that are called like shards, is none."""
    root = folders[1]
    (root / 'nested' / 'b.tar').rename(root / 'nested' / 'B.TAR')
    (root / '._a.tar').write_bytes(b'of macOS')
    (root / 'folder.tar').mkdir()
    (root.parent / 'linked').mkdir()
    (root.parent / 'linked' / 'd.tar').write_bytes((root / 'a.tar').read_bytes())
    (root / 'link').symlink_to('../linked')
    assert FLSLShards(root, size=SIZE).shards == [root / 'a.tar', root / 'link' / 'd.tar', root / 'nested' / 'B.TAR']


def test_links_inside_a_shard_are_images_once_more(folders, tmp_path):
    """Two names of a file are packed as a file and a link."""
    packed = tmp_path / 'linked'
    (packed / 'in').mkdir(parents=True)
    (packed / 'in' / '0.jpg').write_bytes((folders[0] / '0.jpg').read_bytes())
    (packed / '1.jpg').hardlink_to(packed / 'in' / '0.jpg')
    (packed / 'in' / '2.jpg').symlink_to('../in/0.jpg')
    (packed / '3.jpg').symlink_to('/elsewhere/0.jpg')
    with tarfile.open(packed / 'a.tar', 'w') as tar:
        for name in ('in/0.jpg', '1.jpg', 'in/2.jpg', '3.jpg'):
            tar.add(packed / name, name)
    dataset = FLSLShards(packed / 'a.tar', size=SIZE)
    assert [path.rpartition('a.tar/')[2] for path in dataset.paths] == ['1.jpg', 'in/0.jpg', 'in/2.jpg']
    assert len({dataset.open(index).getvalue() for index in range(3)}) == 1


@pytest.mark.parametrize('place', ['inside an image', 'inside a header', 'before a header', 'header'])
def test_a_damaged_shard_is_an_error(folders, place):
    shard = folders[1] / 'a.tar'
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        third = tar.getmembers()[3].offset
    if place == 'header':
        content[third : third + 512] = bytes(range(1, 256)) * 2 + b'xx'
    cut = {'inside an image': 1000, 'inside a header': third + 100, 'before a header': third}.get(place)
    shard.write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r'a\.tar is damaged or cut off: no header after [\d,]+ of [\d,]+ bytes'):
        FLSLShards(folders[1])


def test_a_file_with_holes(tmp_path):
    """Its bytes are not one piece of the shard."""
    with open(tmp_path / '0.tif', 'wb') as file:
        file.truncate(1 << 20)
    subprocess.run(['tar', '--sparse', '-cf', 'a.tar', '0.tif'], cwd=tmp_path, check=True)
    with pytest.raises(ValueError, match=r'0\.tif with holes: pack it without --sparse'):
        FLSLShards(tmp_path / 'a.tar')


def test_what_is_beside_the_shards_is_named(folders, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('flsl_mm.datasets.shards.print_log', lambda line, **where: lines.append(line))
    (folders[1] / 'c.tar.gz').touch()
    (folders[1] / 'x.jpg').touch()
    FLSLShards(folders[1])
    assert [line.replace(str(folders[1]), 'ROOT') for line in lines] == [
        'compressed tar files in ROOT are left out (1, the first is c.tar.gz): unpack them',
        'images in ROOT that are in no tar file are left out (1)',
    ]


def test_what_is_no_shard(tmp_path):
    for content in (b'', gzip.compress(b'x')):
        (tmp_path / 'x.tar').write_bytes(content)
        with pytest.raises(ValueError, match=r'not an uncompressed tar file .*: unpack it, or pack it without'):
            FLSLShards(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match='no image folder at'):
        FLSLShards(tmp_path / 'missing')
    with pytest.raises(FileNotFoundError, match='no tar file'):
        FLSLShards(tmp_path)
    (tmp_path / 'x.jpg').touch()
    with pytest.raises(FileNotFoundError, match=r'no tar file .*: FLSLImages reads its 1 images'):
        FLSLShards(tmp_path)
    (tmp_path / 'x.tgz').touch()
    with pytest.raises(FileNotFoundError, match=r'compressed tar files alone, the first is x\.tgz: unpack them'):
        FLSLShards(tmp_path)
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        add(tar, '1.txt', b'x')
    with pytest.raises(FileNotFoundError, match=r'no image .* in the tar files of .* \(1\)'):
        FLSLShards(tmp_path)


def test_the_later_of_two_members_of_a_name_counts_as_in_unpacking(tmp_path):
    contents = [jpeg(make_image(60, 50, number)) for number in range(2)]
    with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
        add(tar, 'b.jpg', contents[0])
        link = tarfile.TarInfo('a.jpg')
        link.type, link.linkname = tarfile.SYMTYPE, 'b.jpg'
        tar.addfile(link)
        add(tar, 'a.jpg', contents[1])
    dataset = FLSLShards(tmp_path, size=SIZE)
    assert [dataset.open(index).read() for index in range(2)] == [contents[1], contents[0]]


def test_headers_without_end(tmp_path):
    header = tarfile.TarInfo('././@LongLink')
    header.type = tarfile.GNUTYPE_LONGNAME
    (tmp_path / 'a.tar').write_bytes(header.tobuf(tarfile.GNU_FORMAT) * 5000)
    with pytest.raises(ValueError, match=r'a\.tar is damaged or cut off'):
        FLSLShards(tmp_path, size=SIZE)
