"""Intersection over union of predicted labels (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor


def class_counts(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count by class what its intersection over union is made of; counts of several images add up.

    Args:
        predictions: Predicted classes (M,), 0 to ``num_classes`` - 1.
        labels: True classes (M,); those outside of 0 to ``num_classes`` - 1 are not counted.
        num_classes: Number of classes.

    Returns:
        Right predictions, predictions and labels of each class (3, num_classes).
    """
    counted = (labels >= 0) & (labels < num_classes)
    predictions, labels = predictions[counted], labels[counted]
    right = labels[predictions == labels]
    return torch.stack([torch.bincount(of, minlength=num_classes) for of in (right, predictions, labels)])


def class_iou(counts: Tensor) -> Tensor:
    """Return the IoU of each class (..., K) from :func:`class_counts` (..., 3, K); NaN for one without labels."""
    right, predicted, labeled = counts.double().unbind(-2)
    return torch.where(labeled > 0, right / (predicted + labeled - right), torch.nan)


def mean_iou(counts: Tensor) -> Tensor:
    """Average :func:`class_iou` over the classes that have labels; (...), NaN without labels."""
    return class_iou(counts).nanmean(-1)


def chance_mean_iou(train_labels: Tensor, labels: Tensor, num_classes: int) -> float:
    """Return the mean IoU of the better of two blind answers: the most frequent class, or classes drawn as they occur.

    Drawing class c with its training share p gives, in expectation of the counts, the IoU
    ``n p / (n + M p - n p)`` where n of the M labels are c.

    Args:
        train_labels: Classes of the training features (N,).
        labels: True classes (M,); those outside of 0 to ``num_classes`` - 1 are not counted.
        num_classes: Number of classes.
    """
    counted = labels[(labels >= 0) & (labels < num_classes)]
    share = torch.bincount(train_labels, minlength=num_classes).double()
    share = share / share.sum()
    counts = torch.bincount(counted, minlength=num_classes).double()
    drawn = torch.stack([counts * share, len(counted) * share, counts])
    constant = class_counts(train_labels.mode().values.expand_as(counted), counted, num_classes)
    return float(torch.maximum(mean_iou(drawn), mean_iou(constant)))
