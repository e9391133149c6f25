"""Object discovery: cut the one salient object out of an image by its patch features (pure functions).

TokenCut (Wang et al., CVPR 2022, arXiv 2202.11539): a normalized cut of the graph of patches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou


def fiedler_vector(features: Tensor, threshold: float = 0.2, weak: float = 1e-5) -> Tensor:
    """Return the second smallest generalized eigenvector of the patches' graph, whose sign cuts it in two.

    Edges are 1 between patches whose cosine similarity exceeds ``threshold`` and ``weak`` otherwise.

    Args:
        features: Patch features (N, C), N at least 2.
        threshold: Cosine similarity from which patches belong together.
        weak: Weight of the other edges, which keep the graph connected.

    Returns:
        The vector (N,), float64; its sign is arbitrary.
    """
    features = F.normalize(features.double(), dim=-1)
    edges = torch.where(features @ features.T > threshold, 1.0, weak).double()
    root = edges.sum(-1).rsqrt()
    # (D - W) x = l D x  <=>  D^-1/2 (D - W) D^-1/2 y = l y,  x = D^-1/2 y
    laplacian = torch.eye(len(edges), dtype=torch.double) - root[:, None] * edges * root
    return root * torch.linalg.eigh(laplacian).eigenvectors[:, 1]


def connected_component(mask: Tensor, seed: tuple[int, int]) -> Tensor:
    """Return the part of a mask (h, w) that hangs together with its patch ``seed`` (row, column) by sides."""
    part = torch.zeros_like(mask)
    part[seed] = mask[seed]
    grown = part
    while True:
        grown = part.clone()
        grown[1:] |= part[:-1]
        grown[:-1] |= part[1:]
        grown[:, 1:] |= part[:, :-1]
        grown[:, :-1] |= part[:, 1:]
        grown &= mask
        if torch.equal(grown, part):
            return part
        part = grown


def discover_object(features: Tensor, threshold: float = 0.2) -> Tensor:
    """Find the patches of an image's salient object.

    The side of the cut that holds the most extreme patch is the object, and of it the part round that patch. Where all
    patches are alike, or none is like another, there is nothing to cut, and the object is the whole image.

    Args:
        features: Patch features (h, w, C).
        threshold: As of :func:`fiedler_vector`.

    Returns:
        Mask of patches (h, w), bool.
    """
    h, w, _ = features.shape
    tokens = F.normalize(features.flatten(0, 1).double(), dim=-1)
    related = int((tokens @ tokens.T > threshold).sum())
    if related in (len(tokens), len(tokens) ** 2):
        return torch.ones(h, w, dtype=torch.bool)
    vector = fiedler_vector(tokens, threshold)
    seed = int(vector.abs().argmax())
    above = vector > vector.mean()
    mask = above if above[seed] else ~above
    return connected_component(mask.view(h, w), (seed // w, seed % w))


def patch_box(mask: Tensor, patch_size: int, image_hw: tuple[int, int]) -> Tensor:
    """Return the corners x1, y1, x2, y2 in pixels (4,) of a non-empty mask of patches (h, w), within the image."""
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    corners = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) * patch_size
    height, width = image_hw
    return corners.minimum(torch.tensor([width, height] * 2)).float()


def correctly_localized(box: Tensor, boxes: Tensor, threshold: float = 0.5) -> bool:
    """Return whether a box (4,) overlaps one of the true boxes (N, 4) by IoU ``threshold`` or more (CorLoc)."""
    return bool((box_iou(box[None], boxes) >= threshold).any())


def chance_corloc(boxes: Sequence[Tensor], sizes_hw: Sequence[tuple[int, int]]) -> float:
    """Return the CorLoc of the best blind answer: a box in the middle of every image, of the best of ten sizes.

    Args:
        boxes: True boxes of each image (N, 4), corners in pixels.
        sizes_hw: Height and width of each image.
    """
    hits = torch.zeros(10)
    for of_image, (height, width) in zip(boxes, sizes_hw, strict=True):
        share = torch.arange(1, 11)[:, None] / 10
        middle = torch.tensor([width, height, width, height]) / 2
        answers = middle + share * middle * torch.tensor([-1, -1, 1, 1])
        hits += (box_iou(answers, of_image.float()) >= 0.5).any(1)
    return float(hits.max() / len(boxes))
