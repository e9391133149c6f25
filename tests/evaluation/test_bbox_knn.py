"""The bbox-aligned k-NN against the original program's numbers, and where it is better than the original."""

import numpy as np
import pytest
import torch

from flsl_mm.evaluation.bbox_knn import bbox_knn_accuracy, box_patches, largest_box, resized_boxes
from tests.reference import load


@pytest.fixture(scope='module')
def recorded():
    return {name: torch.from_numpy(np.asarray(value)) for name, value in load('bbox_aligned_knn').items()}


@pytest.mark.recorded
def test_recorded_patches(recorded):
    width, height = recorded['image_wh'].tolist()
    boxes = resized_boxes(recorded['boxes_xyxy'], (height, width), squash=True)
    assert largest_box(boxes) == int(recorded['largest_box'])
    assert box_patches(boxes[largest_box(boxes)], 16).tolist() == recorded['patch_ids_3x3'].tolist()


@pytest.mark.recorded
@pytest.mark.parametrize('k', [5, 20])
def test_recorded_accuracy(recorded, k):
    got = bbox_knn_accuracy(
        *(recorded[name] for name in ('train_features', 'train_labels', 'query_features', 'query_labels')),
        k=k,
        temperature=float(recorded['temperature']),
        count_every_rank=True,
    )
    assert 100 * got['top1'] == pytest.approx(float(recorded[f'top1_k{k}']), abs=1e-9)
    assert 100 * got['top5'] == pytest.approx(float(recorded[f'top5_k{k}']), abs=1e-9)


def test_an_image_counts_once():
    """Two patches, each right at another rank: the original counts two images, there is one."""
    bank = torch.tensor([[[1.0, 0, 0]], [[0.8, 0.6, 0]], [[0, 0, 1.0]]])
    asked = torch.tensor([[[1.0, 0, 0], [0.7, 0.7, 0]]])
    arguments = (bank, torch.tensor([0, 1, 2]), asked, torch.tensor([0]))
    assert bbox_knn_accuracy(*arguments, k=3) == dict(top1=1.0, top5=1.0)
    assert bbox_knn_accuracy(*arguments, k=3, count_every_rank=True)['top5'] == 2.0


def test_boxes_follow_the_image():
    """A box at the centre of a wide image stays there; squashed, as the original does, it gets narrower."""
    box = torch.tensor([[225.0, 75.0, 375.0, 225.0]])  # of 600x300, centre (300, 150)
    kept = resized_boxes(box, (300, 600))
    assert kept[0].tolist() == pytest.approx([48, 48, 176, 176], abs=0.01)
    squashed = resized_boxes(box, (300, 600), squash=True)
    assert squashed[0].tolist() == pytest.approx([80, 48, 144, 176], abs=0.01)


def test_patches_by_hand():
    # Parts of 32 pixels; centres at 16, 48, 80: patches 1, 3, 5 of 14 in a row.
    assert box_patches(torch.tensor([0.0, 0, 96, 96]), 16).tolist() == [15, 17, 19, 43, 45, 47, 71, 73, 75]
    assert box_patches(torch.tensor([200.0, 200, 223.999, 223.999]), 16).max() == 14 * 14 - 1


def test_constant_features_score_chance():
    labels = torch.arange(40) % 4
    features = torch.ones(40, 9, 5)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert bbox_knn_accuracy(features, labels[shuffled], features, labels, k=9)['top1'] == 0.25
