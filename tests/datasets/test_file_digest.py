"""Digests of files tell renamed, replaced and added ones."""

import pytest

from flsl_mm.datasets.file_digest import file_digest, least_changes
from flsl_mm.datasets.images import FLSLImages
from tests.builders.images import make_image

NAMES = [f'{number}.jpg' for number in range(1000)]


@pytest.mark.parametrize(
    ('names', 'size_of', 'changes'),
    [
        (NAMES, lambda number: 5, (0, 0)),
        (NAMES, lambda number: 5 + (number == 7), (1, 1)),
        (['new.jpg', *NAMES[1:]], lambda number: 5, (1, 1)),
        ([f'x{name}' for name in NAMES], lambda number: 5, (100, 128)),
    ],
)
def test_changes(names, size_of, changes):
    low, high = changes
    assert low <= least_changes(file_digest(NAMES, lambda number: 5), file_digest(names, size_of)) <= high


def test_a_folder_elsewhere_has_the_same_digest(tmp_path):
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        make_image(seed=1).save(tmp_path / folder / '1.png')
    first, second = (FLSLImages(tmp_path / folder) for folder in ('a', 'b'))
    assert first.digest() == second.digest()
    (tmp_path / 'b' / '1.png').write_bytes(b'another')
    assert least_changes(first.digest(), second.digest()) == 1
    (tmp_path / 'b' / '1.png').unlink()
    assert least_changes(first.digest(), second.digest()) == 1
