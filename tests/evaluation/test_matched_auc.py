"""The AUC among pairs of equal displacement: by hand, and blind to position."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flsl_mm.evaluation.matched_auc import matched_same_object_auc, roc_auc
from flsl_mm.models.pos_embed import sincos_pos_embed


def test_roc_auc_by_hand():
    # 3 > 2 and 1, 1 ties with 1 and loses against 2: (1 + 1 + 0.5 + 0) / 4
    assert roc_auc(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0])) == 0.625
    assert math.isnan(roc_auc(torch.tensor([]), torch.tensor([1.0])))


def scenes(seed: int, batch: int = 16, side: int = 8) -> torch.Tensor:
    """Two objects, each a rectangle at a random place, in every image; the second hides the first."""
    generator = torch.Generator().manual_seed(seed)
    owners = torch.zeros(batch, side, side, dtype=torch.long)
    for image in owners:
        for owner in (1, 2):
            top, left = torch.randint(side - 3, (2,), generator=generator).tolist()
            image[top : top + 4, left : left + 4] = owner
    return owners


@given(st.integers(0, 1000))
def test_position_alone_scores_chance(seed):
    owners = scenes(seed)
    table = sincos_pos_embed(32, (8, 8)).view(1, 8, 8, 32).expand(16, -1, -1, -1)
    auc, error = matched_same_object_auc(table, owners)
    assert auc == pytest.approx(0.5, abs=1e-3)
    assert error < 1e-3


def test_constant_features_score_chance():
    assert matched_same_object_auc(torch.ones(16, 8, 8, 4), scenes(0)) == (0.5, 0.0)


def test_features_of_the_object_score_one():
    owners = scenes(1)
    assert matched_same_object_auc(torch.eye(3)[owners], owners) == (1.0, 0.0)


def test_position_would_win_without_matching():
    """What this measure is for: near pairs are mostly of one object."""
    owners = scenes(2).flatten(1)
    table = torch.nn.functional.normalize(sincos_pos_embed(32, (8, 8))[0], dim=-1)
    similarity = table @ table.T
    same = (owners[:, :, None] == owners[:, None]) & (owners > 0)[:, :, None]
    other = (owners[:, :, None] != owners[:, None]) & ((owners > 0)[:, :, None] & (owners > 0)[:, None])
    assert roc_auc(similarity.expand_as(same)[same], similarity.expand_as(same)[other]) > 0.75


def test_displacements_have_a_direction():
    """One object side by side with another, above itself: only vertical pairs are of one object, horizontal of two."""
    owners = torch.tensor([[[1, 2], [1, 2]]]).repeat(40, 1, 1)
    table = torch.randn(1, 2, 2, 6, generator=torch.Generator().manual_seed(0)).expand(40, -1, -1, -1)
    assert all(map(math.isnan, matched_same_object_auc(table, owners)))


def test_background_does_not_count():
    owners = scenes(3)
    features = torch.eye(3)[owners]
    noisy = features.clone()
    noisy[owners == 0] = torch.randn(int((owners == 0).sum()), 3)
    assert matched_same_object_auc(noisy, owners) == matched_same_object_auc(features, owners)


def test_the_standard_error_is_that_of_other_images():
    """It is the spread of the AUC over sets of images drawn anew, and counts images: doubled, they say no more."""
    generator = torch.Generator().manual_seed(4)

    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        owners = scenes(seed, batch=12)
        # What distinguishes the objects differs from image to image, so that pairs of one image move together.
        kinds = torch.nn.functional.normalize(torch.randn(12, 3, 6, generator=generator), dim=-1)
        clean = kinds[torch.arange(12)[:, None, None], owners]
        return clean + 0.5 * torch.randn(clean.shape, generator=generator), owners

    figures = torch.tensor([matched_same_object_auc(*draw(seed)) for seed in range(40)])
    assert figures[:, 1].mean() == pytest.approx(float(figures[:, 0].std()), rel=0.3)
    features, owners = draw(0)
    repeated = matched_same_object_auc(features.repeat(2, 1, 1, 1), owners.repeat(2, 1, 1), min_pairs=40)
    assert repeated[0] == pytest.approx(matched_same_object_auc(features, owners)[0])
