"""Images in tar files are those of the folder that was packed."""

from __future__ import annotations

import io
import pickle
import tarfile

import pytest
import torch
from torch.utils.data import DataLoader

from flsl_mm.datasets.images import FLSLImages, read_skipped
from flsl_mm.datasets.shards import FLSLShards
from tests.images import jpeg, make_image

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
    """Add bytes to a tar file."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def test_items_are_those_of_the_folder(folders):
    """In any epoch; with the path of the image inside its shard."""
    files, shards = (dataset(root, size=SIZE) for dataset, root in zip((FLSLImages, FLSLShards), folders, strict=True))
    assert len(shards) == 10
    for index in (0, 3, 4, 9, 17, 36):
        assert torch.equal(shards[index]['inputs'], files[index]['inputs'])
    assert shards[0]['img_path'] == str(folders[1] / 'a.tar' / '0.jpg')


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


def test_a_shard_that_was_cut_off_after_the_start(folders):
    dataset = FLSLShards(folders[1], size=SIZE)
    shard = folders[1] / 'a.tar'
    shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(ValueError, match='ends inside the file'):
        dataset.open(1)


@pytest.mark.parametrize('content', [b'', None])
def test_what_is_no_shard(tmp_path, content):
    if content is None:
        with tarfile.open(tmp_path / 'x.tar', 'w:gz') as tar:
            add(tar, '1.jpg', b'x')
    else:
        (tmp_path / 'x.tar').write_bytes(content)
    with pytest.raises(ValueError, match=r'not an uncompressed tar file .*: unpack it, or pack it without'):
        FLSLShards(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match='no shard'):
        FLSLShards(tmp_path)
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        add(tar, '1.txt', b'x')
    with pytest.raises(FileNotFoundError, match=r'no image .* in the 1 shards'):
        FLSLShards(tmp_path)
