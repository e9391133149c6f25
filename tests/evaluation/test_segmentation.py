"""Mean IoU by hand, and its chance."""

import math

import pytest
import torch

from flsl_mm.evaluation.segmentation import chance_mean_iou, class_counts, class_iou, mean_iou


def test_iou_by_hand():
    labels = torch.tensor([0, 0, 0, 1, 255, -1])
    predictions = torch.tensor([0, 0, 1, 1, 0, 1])
    counts = class_counts(predictions, labels, 3)
    assert counts.tolist() == [[2, 1, 0], [2, 2, 0], [3, 1, 0]]
    # Class 0: 2 of 3; class 1: 1 of 2; class 2 does not occur.
    assert class_iou(counts)[:2].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert math.isnan(class_iou(counts)[2])
    assert float(mean_iou(counts)) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_counts_of_images_add_up():
    generator = torch.Generator().manual_seed(0)
    labels, predictions = torch.randint(3, (2, 2, 50), generator=generator)
    counts = torch.stack([class_counts(*pair, 3) for pair in zip(predictions, labels, strict=True)])
    assert torch.equal(counts.sum(0), class_counts(predictions.flatten(), labels.flatten(), 3))
    assert torch.equal(mean_iou(counts)[1], mean_iou(counts[1]))


def test_absent_classes():
    assert mean_iou(class_counts(torch.tensor([2, 0]), torch.tensor([0, 0]), 3)) == 0.5
    assert math.isnan(mean_iou(torch.zeros(3, 2)))


def test_chance_of_drawing_classes_is_what_drawing_gives():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (200_000,), generator=generator)
    drawn = torch.randint(4, (200_000,), generator=generator)
    measured = float(mean_iou(class_counts(drawn, labels, 4)))
    assert chance_mean_iou(labels, labels, 4) == pytest.approx(measured, abs=2e-3)
    labels = torch.tensor([0] * 98 + [1] * 2)
    assert chance_mean_iou(labels, labels, 2) == pytest.approx(0.98 / 2, abs=0.01)
