"""DAVIS's colors and palette masks."""

import numpy as np
from PIL import Image

from flsl_mm.datasets.palette import davis_palette, write_palette_mask


def test_palette():
    palette = davis_palette()
    assert palette[[0, 1, 2, 3, 8]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [64, 0, 0]]
    assert palette[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette, axis=0)) == 256


def test_palette_masks_are_written_whole(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_palette_mask(tmp_path / 'mask.png', ids)
    with Image.open(tmp_path / 'mask.png') as image:
        assert image.mode == 'P'
        np.testing.assert_array_equal(np.asarray(image), ids)
        np.testing.assert_array_equal(np.asarray(image.convert('RGB'))[0], davis_palette()[:16])
    assert [path.name for path in tmp_path.iterdir()] == ['mask.png']
