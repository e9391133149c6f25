import logging
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from flsl_mm.datasets import images as module
from flsl_mm.datasets.images import FLSLImages
from flsl_mm.datasets.skipped import read_skipped
from tests.builders.images import jpeg, make_image, png, write_jpegs

SIZE = 32


@pytest.fixture
def folder(tmp_path):
    return write_jpegs(tmp_path / 'images')


@pytest.fixture
def dataset(folder, tmp_path):
    """Make the data set that lists what it skips."""

    def make(**options):
        made = FLSLImages(folder, **dict(size=SIZE) | options)
        made.skipped_log = tmp_path / 'skipped_images.txt'
        return made

    return make


class TestSearch:
    def test_nested(self, folder):
        dataset = FLSLImages(folder, size=SIZE)
        assert len(dataset) == 10
        assert list(dataset.paths) == sorted(str(path) for path in folder.rglob('*.jpg'))
        assert dataset.paths[-1] == str(folder / 'class2' / '8.jpg')
        with pytest.raises(IndexError):
            dataset.paths[10]
        with pytest.raises(ValueError, match='scale must be'):
            FLSLImages(folder, scale=(0.8, 1.5))

    @pytest.mark.parametrize(
        ('make', 'error', 'start'),
        [
            (lambda path: None, FileNotFoundError, 'no image folder at '),
            (lambda path: path.mkdir(), FileNotFoundError, 'no image (.jpg'),
            (lambda path: path.write_text('x'), NotADirectoryError, ''),
        ],
        ids=['missing', 'empty', 'file'],
    )
    def test_wrong_folder_gives_one_clear_line(self, tmp_path, make, error, start):
        make(tmp_path / 'images')
        with pytest.raises(error) as caught:
            DATASETS.get('FLSLImages')(tmp_path / 'images')
        line = str(caught.value)
        assert line.startswith(start)
        assert str(tmp_path / 'images') in line
        assert 'train_dataloader.dataset.data_root' in line
        assert 'configs/pretrain/flsl_vit-t8d4_scenes.py' in line
        assert '\n' not in line


class TestItems:
    def test_item(self, folder):
        dataset = DATASETS.build(dict(type='FLSLImages', data_root=str(folder), size=SIZE))
        item = dataset[3]
        assert item['inputs'].dtype == torch.uint8
        assert item['inputs'].shape == (3, SIZE, SIZE)
        assert item['img_path'] == dataset.paths[3]

    def test_item_is_a_function_of_seed_and_virtual_index(self, folder):
        dataset = FLSLImages(folder, size=SIZE, seed=1)
        first = dataset[23]['inputs']
        np.random.seed(0)
        torch.manual_seed(0)
        dataset[4]
        assert torch.equal(dataset[23]['inputs'], first)
        assert torch.equal(pickle.loads(pickle.dumps(dataset))[23]['inputs'], first)
        assert dataset[23]['img_path'] == dataset[3]['img_path']
        assert not torch.equal(dataset[3]['inputs'], first)
        assert not torch.equal(FLSLImages(folder, size=SIZE, seed=2)[23]['inputs'], first)
        with pytest.raises(IndexError):
            dataset[-1]

    def test_workers_give_the_same(self, folder):
        (folder / 'class0' / '0.jpg').write_bytes(b'')
        dataset = FLSLImages(folder, size=SIZE)
        order = [*range(10, 20), 0, 47]
        alone, shared = (
            list(DataLoader(dataset, 3, sampler=order, num_workers=workers, collate_fn=default_collate))
            for workers in (0, 2)
        )
        for one, other in zip(alone, shared, strict=True):
            assert torch.equal(one['inputs'], other['inputs'])
            assert one['img_path'] == other['img_path']

    def test_crop_shows_most_of_the_image(self, tmp_path):
        ramp = np.broadcast_to(np.linspace(0, 255, 200)[None, :, None], (200, 200, 3)).astype(np.uint8)
        Image.fromarray(ramp).save(tmp_path / 'ramp.png')
        dataset = FLSLImages(tmp_path, size=SIZE)
        views = [dataset[v]['inputs'][0].float() for v in range(50)]
        spans = [float((view[:, -1] - view[:, 0]).mean()) for view in views]
        # Areas of 80 to 100% with an aspect ratio of 3/4 to 4/3: never narrower than sqrt(.8 * 3/4).
        assert min(spans) > 255 * (0.8 * 0.75) ** 0.5 * (SIZE - 1) / SIZE - 3
        assert max(spans) < 256


def bad_files() -> dict[str, bytes]:
    good = jpeg(make_image(64, 64))
    bomb = png(Image.new('L', (9600, 9600)))
    return {
        'truncated.jpg': good[: len(good) // 2],
        'truncated.png': png(make_image(64, 64))[:3000],
        'empty.jpg': b'',
        'text.jpg': b'this is not an image\n',
        'header.jpg': good[:20],
        'noise.png': png(make_image(64, 64))[:100] + bytes(range(256)) * 20,
        'one_pixel.png': png(Image.new('RGB', (1, 1))),
        'narrow.png': png(Image.new('RGB', (300, 7))),
        'bomb.png': bomb,
        'large_bomb.png': bomb[:16] + (2**16).to_bytes(4, 'big') * 2 + bomb[24:],
    }


BAD_FILES = bad_files()


class TestBadFiles:
    @pytest.mark.parametrize('name', BAD_FILES)
    def test_another_image_takes_the_place(self, folder, name, dataset):
        bad = folder / f'0_{name}'
        bad.write_bytes(BAD_FILES[name])
        dataset = dataset()
        assert dataset.paths[0] == str(bad)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            replaced = [dataset[epoch * len(dataset)] for epoch in range(20)]
        paths = {item['img_path'] for item in replaced}
        assert str(bad) not in paths
        assert len(paths) > 4  # not always the same image
        assert list(read_skipped(dataset.skipped_log)) == [str(bad)]
        again = FLSLImages(folder, size=SIZE)[len(dataset)]
        assert again['img_path'] == replaced[1]['img_path']
        assert torch.equal(again['inputs'], replaced[1]['inputs'])

    def test_file_that_vanishes(self, folder, dataset):
        dataset = dataset()
        for number in range(1, 10):
            os.remove(folder / f'class{number % 3}' / f'{number}.jpg')
        assert {dataset[v]['img_path'] for v in range(10)} == {str(folder / 'class0' / '0.jpg')}
        assert len(read_skipped(dataset.skipped_log)) == 9
        assert set(read_skipped(dataset.skipped_log).values()) == {'No such file or directory'}
        shutil.rmtree(folder)
        with pytest.raises(RuntimeError, match=r'^100 images drawn in a row from .* cannot be read; the last') as error:
            dataset[0]
        assert '\n' not in str(error.value)

    def test_each_file_is_reported_once(self, folder, dataset, monkeypatch):
        for number in range(30):
            (folder / f'bad{number}.png').write_bytes(b'')
        dataset = dataset()
        lines = []
        monkeypatch.setattr(module, 'print_log', lambda line, logger, level: lines.append((line, level)))
        for v in range(80):
            dataset[v]
        assert len(dataset.skipped_log.read_text().splitlines()) == 30
        assert len(lines) == 20  # the others are only listed
        assert lines[0][0].startswith(f'skipped {folder}')
        assert lines[0][1] == logging.WARNING

    def test_workers_list_the_files(self, folder, dataset):
        bad = [folder / f'bad{number}.png' for number in range(4)]
        for path in bad:
            path.touch()
        for _ in range(3):  # workers that start with each epoch have data sets of their own
            found = dataset(size=16)
            [found[index] for index in range(len(found))]
            list(DataLoader(found, 2, sampler=list(range(28)), num_workers=2, collate_fn=default_collate))
        assert sorted(read_skipped(found.skipped_log)) == sorted(map(str, bad))
        assert len(found.skipped_log.read_text().splitlines()) == 4

    def test_names_that_a_terminal_would_obey_are_printed_as_escapes(self, folder, monkeypatch):
        lines = []
        monkeypatch.setattr('flsl_mm.datasets.images.print_log', lambda line, **options: lines.append(line))
        for name in (b'bad\x1b[31m.png', b'bad\xff.png'):
            (folder / os.fsdecode(name)).touch()
        dataset = FLSLImages(folder, size=16)
        [dataset[index] for index in range(len(dataset))]
        assert len(lines) == 2
        assert all(line.isprintable() for line in lines)
        assert 'bad\\x1b[31m.png' in lines[0]
        assert 'bad\\udcff.png' in lines[1]
