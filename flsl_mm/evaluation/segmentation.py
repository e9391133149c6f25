"""Mean intersection over union of predicted labels (pure functions)."""

from __future__ import annotations

import torch
from torch import Tensor


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count pairs of label and prediction.

    Args:
        predictions: Predicted classes (M,), 0 to ``num_classes`` - 1.
        labels: True classes (M,); those outside of 0 to ``num_classes`` - 1 are not counted.
        num_classes: Number of classes.

    Returns:
        Counts (num_classes, num_classes), rows are true classes.
    """
    counted = (labels >= 0) & (labels < num_classes)
    index = labels[counted] * num_classes + predictions[counted]
    return torch.bincount(index, minlength=num_classes**2).view(num_classes, num_classes)


def mean_iou(confusion: Tensor) -> float:
    """Average the intersection over union of the classes that occur in the labels; confusion (K, K), rows true.

    Returns:
        Mean IoU in 0..1; NaN without labels.
    """
    confusion = confusion.double()
    hits = confusion.diag()
    union = confusion.sum(0) + confusion.sum(1) - hits
    present = confusion.sum(1) > 0
    return float((hits[present] / union[present]).mean())


def chance_mean_iou(train_labels: Tensor, labels: Tensor, num_classes: int) -> float:
    """Give the mean IoU of the better of two blind answers: the most frequent class, or classes drawn as they occur.

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
    hits = counts * share
    drawn = (hits / (counts + len(counted) * share - hits))[counts > 0].mean()
    constant = train_labels.mode().values.expand_as(counted)
    return max(float(drawn), mean_iou(confusion_matrix(constant, counted, num_classes)))
