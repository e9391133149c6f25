"""The paper's bbox-aligned k-NN: classify the patches of an image's largest box (pure functions).

Arithmetic of arXiv 2306.06203, section 5, and of ``eval_bbox_aligned_knn.py`` in QingSuML/FLSL, which differs from the
text in two places, both to be had by option: it scales boxes as if the image were squashed to a square, while the
image keeps its shape, and it counts an image in top-5 once for every rank that is right for one of its patches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .knn import knn_scores

GRID = 3
"""Patches along each side of the box."""

TOP = 5
"""Number of classes among which top-5 looks for the right one."""


def resized_boxes(
    boxes: Tensor, image_hw: tuple[int, int], resize: int = 256, crop: int = 224, squash: bool = False
) -> Tensor:
    """Follow boxes through a resize of the shorter side to ``resize`` and a center crop of ``crop`` pixels.

    Args:
        boxes: Corners x1, y1, x2, y2 in pixels of the image (N, 4).
        image_hw: Height and width of the image.
        resize: Length of the shorter side after resizing.
        crop: Side of the square crop.
        squash: Scale both sides to ``resize``, as the original does with boxes.

    Returns:
        Corners in pixels of the crop, cut off at its border (N, 4); a box outside of it has no area.
    """
    height, width = image_hw
    if squash:
        scale_x, scale_y = resize / width, resize / height
        shift_x = shift_y = -((resize - crop) // 2)
    else:
        scale_x = scale_y = resize / min(height, width)
        shift_x = -round((int(width * scale_x) - crop) / 2)
        shift_y = -round((int(height * scale_y) - crop) / 2)
    scale = torch.tensor([scale_x, scale_y] * 2)
    shift = torch.tensor([shift_x, shift_y] * 2, dtype=torch.float)
    return (boxes.float() * scale + shift).clamp(0, crop - 1e-3)


def largest_box(boxes: Tensor) -> int:
    """Return the index of the box (N, 4) of corners with the largest area; the first of equals."""
    return int(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).argmax())


def box_patches(box: Tensor, patch_size: int, crop: int = 224) -> Tensor:
    """Return the patches at the centers of a box's 3x3 parts.

    Args:
        box: Corners x1, y1, x2, y2 in pixels of the crop (4,).
        patch_size: Side of a patch in pixels.
        crop: Side of the crop in pixels.

    Returns:
        Indices of patches in raster order of the crop's grid (9,), rows of the box first.
    """
    left, top, right, bottom = (box / patch_size).tolist()
    part = (torch.arange(GRID) + 0.5) / GRID
    x = (left + part * (right - left)).floor().long()
    y = (top + part * (bottom - top)).floor().long()
    return (y[:, None] * (crop // patch_size) + x).flatten()


def bbox_knn_right(
    train_features: Tensor,
    train_labels: Tensor,
    features: Tensor,
    labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    count_every_rank: bool = False,
) -> dict[str, Tensor]:
    """Classify images by the patches of their largest box: right when one of the patches is.

    Args:
        train_features: Features of the boxes' patches (N, P, C).
        train_labels: Classes of the boxes (N,), 0 or more.
        features: Features to classify (M, P, C).
        labels: Their classes (M,).
        k: Number of neighbors of a patch.
        temperature: Of the weights ``exp(cosine / temperature)``.
        count_every_rank: Count an image in top-5 once for every rank at which one of its patches is right, as the
            original does, ranks that no neighbor voted for included; its top-5 accuracy can exceed 1.

    Returns:
        ``top1`` and ``top5``, what each image counts (M,), float64; their means are the accuracies.
    """
    num_classes = int(max(train_labels.max(), labels.max())) + 1
    patches = features.shape[1]
    bank = train_labels.repeat_interleave(train_features.shape[1])
    scores = knn_scores(train_features.flatten(0, 1), bank, features.flatten(0, 1), num_classes, k, temperature)
    votes, ranked = scores.sort(dim=-1, descending=True, stable=True)
    hit = ranked.view(len(labels), patches, num_classes) == labels.view(-1, 1, 1)
    if not count_every_rank:  # a class that no neighbor has is no answer
        hit &= votes.view_as(hit) > 0
    right = hit.any(1)
    among = right[:, : min(TOP, k)]
    top5 = among.sum(1) if count_every_rank else among.any(1)
    return dict(top1=right[:, 0].double(), top5=top5.double())


def chance_bbox_accuracy(train_labels: Tensor, labels: Tensor, count_every_rank: bool = False) -> dict[str, float]:
    """Return the accuracy of the best blind answer, another of the most frequent training classes for each patch.

    An image counts when one of its nine patches is right, so that guesses score far more than the most frequent class:
    with nine classes or fewer, 1.

    Args:
        train_labels: Classes of the training boxes (N,).
        labels: True classes (M,).
        count_every_rank: As of :func:`bbox_knn_right`.

    Returns:
        ``top1`` and ``top5``.
    """
    counts = train_labels.bincount()
    frequent = counts.argsort(descending=True, stable=True)[: int((counts > 0).sum())]

    def covered(answers: int) -> float:
        return float(torch.isin(labels, frequent[:answers]).double().mean())

    ranks = min(TOP, len(frequent))
    top5 = ranks * covered(GRID**2) if count_every_rank else covered(TOP * GRID**2)
    return dict(top1=covered(GRID**2), top5=top5)
