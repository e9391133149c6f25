"""K-means on blobs, and matching against cases worked out by hand."""

import pytest
import torch

from flsl_mm.evaluation.clustering import (
    contingency,
    kmeans,
    match_many_to_one,
    match_one_to_one,
    named_counts,
    nearest_center,
)
from flsl_mm.evaluation.segmentation import class_iou


def blobs(per_blob: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    features = middles.repeat_interleave(per_blob, 0) + torch.randn(3 * per_blob, 2, generator=generator)
    return features, torch.arange(3).repeat_interleave(per_blob)


@pytest.mark.parametrize('seed', range(4))
def test_blobs_are_found_whatever_the_seed(seed):
    features, truth = blobs()
    centers, clusters = kmeans(features, 3, seed=seed)
    counts = contingency(clusters, truth, 3, 3)
    assert sorted(counts.flatten().tolist()) == [0] * 6 + [50] * 3
    means = torch.stack([features[clusters == index].mean(0) for index in range(3)])
    assert torch.allclose(centers, means, atol=1e-5)
    assert torch.equal(nearest_center(features, centers, chunk=7), clusters)
    assert torch.equal(kmeans(features, 3, seed=seed)[1], clusters)


def test_kmeans_on_few_and_equal_features():
    features = torch.ones(4, 2)
    assert kmeans(features, 3)[0].isfinite().all()
    with pytest.raises(ValueError, match='4 features do not make 5 clusters'):
        kmeans(features, 5)


def test_counts_leave_out_what_is_no_class():
    counts = contingency(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 9, 0, -1]), 2, 2)
    assert counts.tolist() == [[0, 1], [1, 0]]


def test_one_to_one_takes_the_greatest_sum_of_ious():
    # IoUs: cluster 0 (4 and 4): 4/10 and 4/8; cluster 1 (2 and 0): 2/6 and 0. .5 + .333; swapped .4 + 0.
    pytest.importorskip('scipy')
    assert match_one_to_one(torch.tensor([[4, 4], [2, 0]])).tolist() == [1, 0]
    assert match_one_to_one(torch.tensor([[1, 0], [0, 5], [7, 1]])).tolist() == [-1, 1, 0]


def test_many_to_one_and_the_iou_that_follows():
    """Clusters 0 and 2 are class 0 together: 4 right of 5 predicted and 4 labeled; class 1: 5 right of 5 and 6."""
    counts = torch.tensor([[3, 0], [0, 5], [1, 1], [0, 0]])
    names = match_many_to_one(counts)
    assert names.tolist() == [0, 1, 0, -1]
    named = named_counts(counts, names)
    assert named.tolist() == [[4, 5], [5, 5], [4, 6]]
    assert class_iou(named).tolist() == pytest.approx([4 / 5, 5 / 6])


def test_clusters_without_a_name_are_wrong_everywhere():
    named = named_counts(torch.tensor([[3, 0], [0, 5]]), torch.tensor([0, -1]))
    assert named.tolist() == [[3, 0], [3, 0], [3, 5]]
