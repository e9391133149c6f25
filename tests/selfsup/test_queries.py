"""Queries: one of each window, in the order of images."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flsl_mm.selfsup.queries import queries_per_image, sample_queries


@given(
    side=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    window=st.integers(1, 4),
    member=st.sampled_from(['random', 'first']),
)
def test_one_query_per_window(side, window, member):
    h, w = side
    if window > min(h, w):
        with pytest.raises(ValueError, match='does not fit'):
            sample_queries(3, side, window, member)
        return
    indices = sample_queries(3, side, window, member)
    assert indices.shape == (3, (h // window) * (w // window))
    for row in indices:
        y, x = row // w, row % w
        tops, lefts = ([0, length % window] for length in (h, w))
        # In one of the four corners every window holds exactly one query.
        assert any(
            sorted(zip(((y - top) // window).tolist(), ((x - left) // window).tolist(), strict=True))
            == [(i, j) for i in range(h // window) for j in range(w // window)]
            for top in tops
            for left in lefts
        )


def test_random_member_reaches_all_and_first_only_one():
    torch.manual_seed(0)
    random = sample_queries(400, (4, 4), 2, 'random')
    first = sample_queries(400, (4, 4), 2, 'first')
    assert set(random[:, 0].tolist()) == {0, 1, 4, 5}
    assert set(first[:, 0].tolist()) == {0}
    # A block of windows that leaves tokens over sits in all four corners.
    assert set(sample_queries(200, (5, 5), 4, 'first')[:, 0].tolist()) == {0, 1, 5, 6}


def test_queries_stand_by_image():
    """Two images; one kind with two views of each, one with a single view. Tokens are numbered."""
    global_tokens = torch.arange(4.0).view(4, 1, 1).expand(-1, 3, -1)  # view 0 of both images, then view 1
    local_tokens = torch.tensor([10.0, 11.0]).view(2, 1, 1).expand(-1, 2, -1)
    indices = [torch.zeros(4, 2, dtype=torch.long), torch.ones(2, 1, dtype=torch.long)]
    queries = queries_per_image([global_tokens, local_tokens], indices, 2)
    assert queries[..., 0].tolist() == [[0, 0, 2, 2, 10], [1, 1, 3, 3, 11]]
