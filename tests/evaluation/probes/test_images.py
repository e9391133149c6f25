"""From files to features: sizes, order, and files that cannot be read."""

import pytest
import torch

from flsl_mm.datasets.folder import find_images
from flsl_mm.evaluation.probes import images as module
from flsl_mm.evaluation.probes.images import feature_maps, fitted, fitting_hw, sample
from flsl_mm.evaluation.probes.sources import MeanColor
from tests.builders.images import make_image


@pytest.mark.parametrize(
    ('image_hw', 'size', 'square', 'expected'),
    [
        ((360, 480), 240, False, (240, 320)),
        ((480, 854), 224, False, (224, 400)),  # 398.5
        ((64, 64), 224, False, (64, 64)),  # never enlarged
        ((50, 100), None, False, (48, 96)),
        ((3, 100), None, False, (8, 96)),
        ((480, 360), 224, True, (224, 224)),
        ((64, 100), 224, True, (64, 64)),
    ],
)
def test_sizes_are_whole_patches(image_hw, size, square, expected):
    assert fitting_hw(image_hw, size, 8, square) == expected


def test_a_square_is_the_middle():
    image = torch.zeros(3, 8, 24)
    image[:, :, 8:16] = 1
    assert fitted(image, None, 8, square=True).min() == 1
    assert fitted(image, 4, 4, square=True).shape == (3, 4, 4)


def test_a_sample_is_drawn_and_keeps_its_order():
    assert sample(range(5), None, 0) == sample(range(5), 9, 0) == [0, 1, 2, 3, 4]
    drawn = sample(range(1000), 50, 0)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 50
    assert drawn != sample(range(1000), 50, 1)
    assert drawn[-1] > 500


def test_features_in_order_and_bad_files_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'TOKENS_AT_ONCE', 12)
    sizes = [(16, 16), (16, 16), (24, 16), (16, 16), (16, 16), (16, 16), (16, 16), (16, 16)]
    for index, size in enumerate(sizes):
        make_image(*size, seed=index).save(tmp_path / f'{index}.png')
    (tmp_path / '3.png').write_bytes(b'no image')
    skipped, paths = {}, find_images(tmp_path)
    found = dict(feature_maps(MeanColor(8), paths, lambda path: fitted(path, None, 8), skipped))
    assert list(found) == [0, 1, 2, 4, 5, 6, 7]
    for index, features in found.items():
        assert torch.allclose(features, MeanColor(8)(fitted(paths[index], None, 8)[None])[0])
    assert list(skipped) == [str(tmp_path / '3.png')]
    assert 'no image of a kind that is read' in skipped[str(tmp_path / '3.png')]
