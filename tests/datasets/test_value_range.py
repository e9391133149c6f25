"""Images of more than 8 bits: black and white are found, given, stored with the backbone and used with it again."""

import numpy as np
import pytest
import torch
from PIL import Image

from flsl_mm.checkpoint import backbone_file
from flsl_mm.datasets import value_range as module
from flsl_mm.datasets.decode import read_image
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.datasets.images import FLSLImages
from flsl_mm.datasets.value_range import checked_range, to_8_bits, using_range
from flsl_mm.evaluation.features import load_model
from tests.builders.checkpoints import tiny


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(module, 'print_log', lambda line, *where: found.append(line))
    return found


def write(folder, values: np.ndarray, ending: str = 'png', number: int = 4) -> None:
    for index in range(number):
        Image.fromarray(np.roll(values, index)).save(folder / f'{index}.{ending}')


def ramp(low: float, high: float, dtype) -> np.ndarray:
    return np.linspace(low, high, 64 * 64).reshape(64, 64).astype(dtype)


def test_values_are_scaled_and_cut_off(tmp_path):
    values = np.array([[-5, 0, 100, 150, 200, 900]], np.int32)
    with using_range((100, 200)):
        assert to_8_bits(values).tolist() == [[0, 0, 0, 128, 255, 255]]
        assert to_8_bits(np.array([[np.nan, 150, np.inf]], np.float32)).tolist() == [[0, 128, 255]]
    with pytest.raises(ValueError, match=r'values -5 to 900, .*: set value_range=\(black, white\)'):
        to_8_bits(values)
    Image.fromarray(values.astype(np.float32)).save(tmp_path / '0.tif')
    with pytest.raises(ImageError, match=r'0\.tif cannot be read: image of floating-point pixels: set value_range'):
        read_image(tmp_path / '0.tif')


@pytest.mark.parametrize(
    ('values', 'ending', 'expected'),
    [
        (ramp(100, 4000, np.uint16), 'png', (100, 4000)),  # 12 bits of a microscope
        (ramp(27000, 31000, np.uint16), 'tif', (27000, 31000)),  # thermal
        (ramp(-1024, 3071, np.int32), 'tif', (-1024, 3071)),  # computed tomography
        (ramp(-0.5, 0.5, np.float32), 'tif', (-1, 1)),
    ],
)
def test_a_part_of_the_range_is_found_and_said(values, ending, expected, tmp_path, lines):
    write(tmp_path, values, ending)
    dataset = FLSLImages(tmp_path, size=32)
    assert np.abs(np.subtract(dataset.value_range, expected)).max() <= 1
    assert 'found in 4 files; set train_dataloader.dataset.value_range=(' in lines[0]
    levels = dataset[0]['inputs'].unique()
    assert len(levels) > (100 if expected != (-1, 1) else 50)
    assert not dataset._reported


@pytest.mark.parametrize('values', [ramp(0, 60000, np.uint16), ramp(0, 255, np.uint8), np.full((64, 64), 7, np.uint16)])
def test_images_that_use_their_bits_stay_as_they_are(values, tmp_path, lines):
    write(tmp_path, values)
    assert FLSLImages(tmp_path, size=32).value_range is None
    assert not lines
    values = np.tile(ramp(0, 4000, np.uint16), (4, 4))
    values[0, 0] = 65535  # hot pixels do not count
    write(tmp_path, values)
    assert FLSLImages(tmp_path, size=32).value_range[1] <= 4000


def test_the_option_counts(tmp_path, lines):
    write(tmp_path, ramp(0, 4000, np.uint16))
    dataset = FLSLImages(tmp_path, size=32, scale=(1, 1), value_range=[0, 16000])
    assert dataset.value_range == (0, 16000)
    assert 60 <= dataset[0]['inputs'].max() <= 66
    assert not lines
    for wrong in ((5, 5), (0,), 'ab', (0, float('inf'))):
        with pytest.raises(ValueError, match=r'value_range is \(black, white\)'):
            checked_range(wrong)


def test_colors_of_16_bits_that_are_dark_are_named(tmp_path, lines, monkeypatch):
    Image.new('RGB', (64, 64), (15, 3, 0)).save(tmp_path / '0.png')
    opened = Image.open

    def open_deep(*args, **options):
        image = opened(*args, **options)
        image.tile = [image.tile[0]._replace(args='RGB;16B')]
        image.load = lambda: None
        image.getextrema = lambda: ((0, 15), (0, 3), (0, 0))
        return image

    monkeypatch.setattr(Image, 'open', open_deep)
    FLSLImages(tmp_path, size=32)
    assert [line.partition(',')[0] for line in lines] == ['16-bit color images use 16 of 256 brightness levels']


def test_a_backbone_brings_its_range(tmp_path):
    write(tmp_path, ramp(100, 4000, np.uint16), number=1)
    torch.save(backbone_file(tiny(3), (0.5,) * 3, (0.25,) * 3, (100, 4000)), tmp_path / 'model.pth')
    model = load_model(tmp_path / 'model.pth', logger='silent')
    assert model.spec.value_range == (100, 4000)
    pixels = model.transform(tmp_path / '0.png')
    assert pixels.min() == -2
    assert pixels.max() == 2
    assert np.asarray(read_image(tmp_path / '0.png')).max() == 16  # without a range, as ever
    torch.save(backbone_file(tiny(3), (0.5,) * 3, (0.25,) * 3), tmp_path / 'model.pth')
    assert load_model(tmp_path / 'model.pth', logger='silent').value_range is None
