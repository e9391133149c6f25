"""Masks of every kind of image file are numbers, or a line."""

import numpy as np
import pytest
from PIL import Image

from flsl_mm.datasets.masks import read_mask
from flsl_mm.datasets.palette import write_palette_mask


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.uint16, np.int32])
def test_numbers(tmp_path, dtype):
    mask = np.array([[0, 1], [1, 0]], dtype) * dtype(1 if dtype in (bool, np.uint8) else 300)
    Image.fromarray(mask).save(tmp_path / 'mask.png' if dtype != np.int32 else tmp_path / 'mask.tif')
    read = read_mask(next(tmp_path.iterdir()))
    assert read.tolist() == mask.astype(int).tolist()
    assert np.issubdtype(read.dtype, np.integer)


def test_palettes_colors_and_damage(tmp_path):
    path = tmp_path / 'mask.png'
    write_palette_mask(path, np.array([[0, 7]], np.uint8))
    assert read_mask(path, gray=True).tolist() == [[0, 7]]
    Image.new('RGB', (2, 1), (255, 255, 255)).save(path)
    assert read_mask(path, gray=True).tolist() == [[255, 255]]
    with pytest.raises(ValueError, match=r'mask .*mask.png is an image of mode RGB: masks hold one number per pixel'):
        read_mask(path)
    path.write_bytes(b'x')
    with pytest.raises(ValueError, match=r'mask\.png cannot be read'):
        read_mask(path)
