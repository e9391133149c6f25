"""The AUC among pairs at the same two places: by hand, and blind to position."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.evaluation.matched_auc import fraction_below, matched_same_object_auc
from flsl_mm.models.pos_embed import sincos_pos_embed


def test_shares_by_hand():
    """Place 0: 3 > 2 and 1; 1 ties with 1 and loses against 2. Place 1: 7 < 8; place 2 has no other."""
    scores, places = torch.tensor([3, 1, 7, 9]), torch.tensor([0, 0, 1, 2])
    others, places_of_others = torch.tensor([8, 1, 2]), torch.tensor([1, 0, 0])
    assert fraction_below(scores, places, others, places_of_others).tolist() == [1, 0.25, 0, 0]


def test_auc_by_hand():
    """Two patches in each of four images, so one place: cosines .9 and .3 of one object, .5 and .1 of two."""
    cosines, owners = torch.tensor([0.9, 0.3, 0.5, 0.1]), torch.tensor([[1, 1], [2, 2], [1, 2], [2, 1]])
    features = torch.zeros(4, 1, 2, 2)
    features[:, 0, 0, 0] = 1
    features[:, 0, 1] = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=-1)
    auc, error = matched_same_object_auc(features, owners[:, None])
    assert auc == 0.75  # of the four comparisons, .3 loses against .5
    # Each image takes part in two of them and is off .75 by .25, -.25, -.25 and .25 on average: influence .125 each.
    assert error == pytest.approx(math.sqrt(4 * 0.125**2 * 4 / 3))


def test_places_weigh_by_their_pairs():
    """Side by side: the cosine tells one from two objects, by 3 pairs against 3; above: the reverse, by 1 against 1."""
    owners = torch.zeros(8, 2, 2, dtype=torch.long)
    owners[:6, 0] = torch.tensor([[1, 1], [1, 2]]).repeat(3, 1)
    owners[6:, :, 1] = torch.tensor([[1, 1], [1, 2]])
    features = torch.nn.functional.one_hot(owners, 3).float()
    features[6:, :, 1] = torch.eye(3)[torch.tensor([[1, 2], [1, 1]])]
    assert matched_same_object_auc(features, owners)[0] == pytest.approx(1.5 / 2)  # weights 3 * 3 / 6 and 1 / 2


def scenes(seed: int, batch: int = 16, side: int = 8) -> torch.Tensor:
    """Two objects, each a rectangle at a random place, in every image; the second hides the first."""
    generator = torch.Generator().manual_seed(seed)
    owners = torch.zeros(batch, side, side, dtype=torch.long)
    for image in owners:
        for owner in (1, 2):
            top, left = torch.randint(side - 3, (2,), generator=generator).tolist()
            image[top : top + 4, left : left + 4] = owner
    return owners


TABLES = {
    'fixed': sincos_pos_embed(32, (8, 8)).view(1, 8, 8, 32),
    'any': torch.randn(1, 8, 8, 6, generator=torch.Generator().manual_seed(0)),
    'constant': torch.ones(1, 8, 8, 4),
}


@pytest.mark.parametrize('table', TABLES.values(), ids=TABLES)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_any_function_of_position_scores_chance(table, seed):
    """A learned table, or one that was resized, is not the same function of the displacement everywhere."""
    assert matched_same_object_auc(table.expand(16, -1, -1, -1), scenes(seed)) == (0.5, 0.0)


def test_features_of_the_object_score_one():
    owners = scenes(1)
    assert matched_same_object_auc(torch.eye(3)[owners], owners) == (1.0, 0.0)


def test_pairs_are_compared_with_pairs_of_their_place():
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
    repeated = matched_same_object_auc(features.repeat(2, 1, 1, 1), owners.repeat(2, 1, 1))
    assert repeated[0] == pytest.approx(matched_same_object_auc(features, owners)[0])
