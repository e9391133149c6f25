"""Labels of patches from labels of pixels."""

import pytest
import torch

from flsl_mm.evaluation.patches import patch_majority


def test_majority_by_hand():
    labels = torch.tensor([[[3, 3, 0, 1], [3, 0, 1, 1]]])
    assert patch_majority(labels, 2).tolist() == [[[3, 1]]]


def test_the_smallest_of_equally_many():
    assert patch_majority(torch.tensor([[[2, 2], [1, 1]]]), 2).tolist() == [[[1]]]


def test_unannotated_pixels_have_no_vote():
    labels = torch.tensor([[[255, 255, 255, 255], [255, 4, 255, 255]]])
    assert patch_majority(labels, 2, ignore_index=255).tolist() == [[[4, 255]]]


def test_a_label_must_cover_its_share():
    labels = torch.tensor([[[5, 5, 5, 1], [2, 1, 5, 5]]])
    assert patch_majority(labels, 2, min_share=0.75).tolist() == [[[-1, 5]]]


def test_size_of_whole_patches():
    with pytest.raises(ValueError, match='3x4 pixels are not a multiple of the patch size 2'):
        patch_majority(torch.zeros(1, 3, 4), 2)
