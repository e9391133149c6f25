"""The bbox-aligned k-NN against the original program's numbers, and where it is better than the original."""

import numpy as np
import pytest
import torch

from flsl_mm.evaluation.bbox_knn import bbox_knn_right, box_patches, chance_bbox_accuracy, largest_box, resized_boxes
from tests.builders.reference import load


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
    got = bbox_knn_right(
        *(recorded[name] for name in ('train_features', 'train_labels', 'query_features', 'query_labels')),
        k=k,
        temperature=float(recorded['temperature']),
        count_every_rank=True,
    )
    assert 100 * float(got['top1'].mean()) == pytest.approx(float(recorded[f'top1_k{k}']), abs=1e-9)
    assert 100 * float(got['top5'].mean()) == pytest.approx(float(recorded[f'top5_k{k}']), abs=1e-9)


def test_an_image_counts_once():
    """Two patches, each right at another rank: the original counts two images, there is one."""
    bank = torch.tensor([[[1.0, 0, 0]], [[0.8, 0.6, 0]], [[0, 0, 1.0]]])
    asked = torch.tensor([[[1.0, 0, 0], [0.7, 0.7, 0]]])
    arguments = (bank, torch.tensor([0, 1, 2]), asked, torch.tensor([0]))
    assert {key: right.tolist() for key, right in bbox_knn_right(*arguments, k=3).items()} == dict(top1=[1], top5=[1])
    assert bbox_knn_right(*arguments, k=3, count_every_rank=True)['top5'].tolist() == [2]


def test_a_class_without_a_vote_is_no_answer():
    """One neighbor, of class 0: the ranks after the first hold classes in the order of their numbers."""
    bank, asked = torch.tensor([[[1.0, 0]], [[0, 1.0]]]), torch.tensor([[[1.0, 0]]] * 3)
    arguments = (bank.expand(2, 1, 2), torch.tensor([0, 3]), asked, torch.tensor([0, 1, 3]))
    assert bbox_knn_right(*arguments, k=1)['top5'].tolist() == [1, 0, 0]
    assert bbox_knn_right(*arguments, k=2)['top5'].tolist() == [1, 0, 1]


def test_boxes_follow_the_image():
    """A box at the center of a wide image stays there; squashed, as the original does, it gets narrower."""
    box = torch.tensor([[225.0, 75.0, 375.0, 225.0]])  # of 600x300, center (300, 150)
    kept = resized_boxes(box, (300, 600))
    assert kept[0].tolist() == pytest.approx([48, 48, 176, 176], abs=0.01)
    squashed = resized_boxes(box, (300, 600), squash=True)
    assert squashed[0].tolist() == pytest.approx([80, 48, 144, 176], abs=0.01)


def test_patches_by_hand():
    # Parts of 32 pixels; centers at 16, 48, 80: patches 1, 3, 5 of 14 in a row.
    assert box_patches(torch.tensor([0.0, 0, 96, 96]), 16).tolist() == [15, 17, 19, 43, 45, 47, 71, 73, 75]
    assert box_patches(torch.tensor([200.0, 200, 223.999, 223.999]), 16).max() == 14 * 14 - 1


def test_constant_features_score_chance():
    labels = torch.arange(40) % 4
    features = torch.ones(40, 9, 5)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert float(bbox_knn_right(features, labels[shuffled], features, labels, k=9)['top1'].mean()) == 0.25


def test_guesses_of_nine_patches_score_more_than_one_guess():
    """What blind patches score is not the share of the most frequent class; the chance is no less than they score."""
    generator = torch.Generator().manual_seed(0)
    labels, known = torch.randint(40, (2, 600), generator=generator)
    bank, asked = torch.randn(2, 600, 9, 6, generator=generator)
    scored = float(bbox_knn_right(bank, known, asked, labels, k=1)['top1'].mean())
    chance = chance_bbox_accuracy(known, labels)['top1']
    assert scored == pytest.approx(1 - (1 - 1 / 40) ** 9, abs=0.04)
    assert scored - 0.03 < chance < scored + 0.1


def test_chance_by_hand():
    known = torch.arange(60).repeat_interleave(torch.arange(60, 0, -1))  # class 0 is the most frequent one
    labels = torch.tensor([0, 8, 9, 44, 45, 59])
    assert chance_bbox_accuracy(known, labels) == dict(top1=2 / 6, top5=4 / 6)
    assert chance_bbox_accuracy(known, labels, count_every_rank=True)['top5'] == pytest.approx(5 * 2 / 6)
    assert chance_bbox_accuracy(torch.tensor([0, 1]), torch.tensor([0, 1, 1])) == dict(top1=1.0, top5=1.0)
