"""Mean IoU by hand, and its chance."""

import math

import pytest
import torch

from flsl_mm.evaluation.segmentation import chance_mean_iou, confusion_matrix, mean_iou


def test_confusion_and_iou_by_hand():
    labels = torch.tensor([0, 0, 0, 1, 255, -1])
    predictions = torch.tensor([0, 0, 1, 1, 0, 1])
    confusion = confusion_matrix(predictions, labels, 3)
    assert confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    # Class 0: 2 of 3; class 1: 1 of 2; class 2 does not occur.
    assert mean_iou(confusion) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_predicted_and_absent_is_an_error_elsewhere_only():
    assert mean_iou(confusion_matrix(torch.tensor([2, 0]), torch.tensor([0, 0]), 3)) == 0.5


def test_no_labels():
    assert math.isnan(mean_iou(torch.zeros(2, 2)))


def test_chance_of_drawing_classes_is_what_drawing_gives():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (200_000,), generator=generator)
    drawn = torch.randint(4, (200_000,), generator=generator)
    measured = mean_iou(confusion_matrix(drawn, labels, 4))
    assert chance_mean_iou(labels, labels, 4) == pytest.approx(measured, abs=2e-3)


def test_chance_of_one_answer():
    labels = torch.tensor([0] * 98 + [1] * 2)
    assert chance_mean_iou(labels, labels, 2) == pytest.approx(0.98 / 2, abs=0.01)
