"""Labels of patches from labels of pixels."""

import pytest
import torch

from flsl_mm.evaluation.patches import patch_majority


@pytest.mark.parametrize(
    ('labels', 'options', 'expected'),
    [
        ([[3, 3, 0, 1], [3, 0, 1, 1]], {}, [3, 1]),
        ([[2, 2], [1, 1]], {}, [1]),  # the smallest of equally many
        ([[255, 255, 255, 255], [255, 4, 255, 255]], dict(ignore_index=255), [4, 255]),
        ([[5, 5, 5, 1], [2, 1, 5, 5]], dict(min_share=0.75), [-1, 5]),
    ],
    ids=['majority', 'tie', 'unannotated pixels have no vote', 'a label must cover its share'],
)
def test_majority_by_hand(labels, options, expected):
    assert patch_majority(torch.tensor([labels]), 2, **options).tolist() == [[expected]]


def test_size_of_whole_patches():
    with pytest.raises(ValueError, match='3x4 pixels are not a multiple of the patch size 2'):
        patch_majority(torch.zeros(1, 3, 4), 2)
