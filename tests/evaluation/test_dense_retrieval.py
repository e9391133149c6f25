"""Retrieval of labels against cases worked out by hand."""

import sys

import pytest
import torch

from flsl_mm.evaluation.dense_retrieval import (
    exact_search,
    faiss_search,
    label_map,
    patch_class_shares,
    retrieve_labels,
    sample_patches,
)


def test_shares_of_the_annotated_pixels():
    labels = torch.tensor([[0, 0, 1, -1], [0, 2, -1, 255]])
    shares = patch_class_shares(labels, 2, 3)
    assert torch.allclose(shares, torch.tensor([[0.75, 0, 0.25], [0, 1, 0]]))
    assert patch_class_shares(torch.full((2, 2), -1), 2, 3).tolist() == [[0, 0, 0]]
    with pytest.raises(ValueError, match='2x4 pixels are not a multiple of the patch size 3'):
        patch_class_shares(labels, 3, 3)


def test_neighbors_are_weighted_by_the_softmax_of_their_cosines():
    """Two neighbors of cosine 1 and .96, temperature .02: exp(0) and exp(-2); lengths do not matter."""
    bank = torch.tensor([[3.0, 0.0], [0.96 * 5, 0.28 * 5], [0.0, 1.0]])
    shares = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    labels = retrieve_labels(bank, shares, torch.tensor([[7.0, 0.0]]), k=2, temperature=0.02)
    weight = 1 / (1 + torch.tensor(-2.0).exp())
    assert torch.allclose(labels, torch.tensor([[weight + 0.5 * (1 - weight), 0.5 * (1 - weight)]]), atol=1e-5)
    everything = retrieve_labels(bank, shares, torch.tensor([[7.0, 0.0]]), k=30, temperature=1e6)
    assert torch.allclose(everything, torch.tensor([[0.5, 0.5]]), atol=1e-4)


def test_rare_classes_are_drawn_first():
    """One patch of a class of its own among 99 of another: its score is at most 1, theirs 99 times a random number."""
    shares = torch.zeros(102, 2)
    shares[:99, 0] = 1
    shares[99, 1] = 1
    first = [sample_patches(shares, 5, torch.Generator().manual_seed(seed)).tolist() for seed in range(30)]
    assert sum(99 in drawn for drawn in first) >= 28
    assert all(len(set(drawn)) == 5 and max(drawn) < 100 for drawn in first)
    assert len(sample_patches(shares, 1000)) == 100  # two have no annotation
    assert len({tuple(drawn) for drawn in first}) > 20


def test_search_in_parts_finds_the_same():
    torch.manual_seed(0)
    bank, queries = torch.randn(50, 4), torch.randn(20, 4)
    values, indices = exact_search(bank, queries, 3)
    parts = exact_search(bank, queries, 3, chunk=7)
    assert torch.allclose(values, parts[0])
    assert torch.equal(indices, parts[1])
    assert torch.equal(indices, (queries @ bank.T).argsort(descending=True)[:, :3])
    assert exact_search(bank[:2], queries, 30)[1].shape == (20, 2)


def test_faiss_finds_the_same_neighbors():
    pytest.importorskip('faiss', reason='faiss, of the extra retrieval, is not installed')
    torch.manual_seed(0)
    bank, queries = (torch.nn.functional.normalize(torch.randn(n, 192), dim=-1) for n in (2000, 50))
    values, indices = faiss_search(bank)(bank, queries, 30)
    expected = exact_search(bank, queries, 30)
    assert torch.equal(indices, expected[1])
    assert torch.allclose(values, expected[0], atol=1e-5)
    assert faiss_search(bank[:7])(bank[:7], queries, 30)[1].shape == (50, 7)


def test_without_faiss_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    with pytest.raises(ValueError, match='pip install faiss-cpu'):
        faiss_search(torch.eye(2))


def test_labels_are_upsampled_before_the_greatest_is_taken():
    """Patches of 4 pixels, .9 and .4 of a class, whose share falls from .5875 to .4625 one pixel past the border."""
    labels = torch.tensor([[[0.9, 0.1], [0.4, 0.6]]])
    assert label_map(labels, (1, 8)).tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
