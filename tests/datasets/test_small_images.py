"""Images smaller than their views are counted by their headers."""

import pytest
from torch.utils.data import TensorDataset

from flsl_mm.datasets import images, small_images
from flsl_mm.datasets.small_images import small_images_line
from tests.builders.images import make_image


@pytest.fixture
def dataset(tmp_path):
    for number, size in enumerate([(64, 64), (32, 90), (90, 32), (64, 70)]):
        make_image(*size).save(tmp_path / f'{number}.png')
    (tmp_path / '9.jpg').write_bytes(b'no image')
    return lambda size: images.FLSLImages(tmp_path, size=size)


def test_the_shorter_side_counts(dataset, monkeypatch):
    assert small_images_line(dataset(32)) is None
    assert small_images.small_images(dataset(64), 64) == (2, 4)  # one cannot be read
    assert small_images.small_images(dataset(64), 65) == (4, 4)
    assert small_images.small_images(dataset(64), 64, most=2) == (0, 1)  # the first and the last
    assert small_images_line(dataset(64)).startswith('2 of 4 images (looked at, of 5) have fewer than 64 pixels')
    monkeypatch.setattr(small_images, 'SHARE', 0.6)
    assert (
        small_images_line(dataset(64)) is small_images_line(dataset(32)) is small_images_line(TensorDataset()) is None
    )
