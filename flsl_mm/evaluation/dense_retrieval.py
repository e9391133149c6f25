"""Segmentation by retrieval from a memory of annotated patches, after open-hummingbird (pure functions)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Search = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Finds the ``k`` greatest inner products of queries (M, C) with a bank (N, C): their values and indices (M, k)."""


def patch_class_shares(labels: Tensor, patch_size: int, num_classes: int) -> Tensor:
    """Return the share of each class in the annotated pixels of each patch.

    Args:
        labels: Classes of pixels (H, W); numbers outside of 0 to ``num_classes`` - 1 are not annotated.
        patch_size: Side of a patch in pixels, dividing H and W.
        num_classes: Number of classes.

    Returns:
        Shares (h * w, num_classes), rows sum to one; zeros where no pixel is annotated.

    Raises:
        ValueError: If H or W is not a multiple of the patch size.
    """
    height, width = labels.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f'labels of {height}x{width} pixels are not a multiple of the patch size {patch_size}')
    pixels = labels.unfold(0, patch_size, patch_size).unfold(1, patch_size, patch_size).reshape(-1, patch_size**2)
    annotated = (pixels >= 0) & (pixels < num_classes)
    counts = torch.zeros(len(pixels), num_classes)
    counts.scatter_add_(1, pixels.where(annotated, 0).long(), annotated.float())
    return counts / counts.sum(-1, keepdim=True).clamp_min(1)


def sample_patches(shares: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the patches of an image that go into the memory; rare classes come first (arXiv 2306.01667, appendix).

    A class is as frequent as the patches of the image that have it. A patch scores the sum of the frequencies of its
    classes times a random number in 0..1, and the lowest scores are taken.

    Args:
        shares: Shares of classes (N, K), as of :func:`patch_class_shares`.
        count: Number of patches to draw.
        generator: Source of the random numbers.

    Returns:
        Indices of at most ``count`` annotated patches, those drawn first at the front.
    """
    has = (shares > 0).float()
    score = (has @ has.sum(0)) * torch.rand(len(shares), generator=generator)
    annotated = has.any(-1)
    order = score.masked_fill(~annotated, torch.inf).argsort()
    return order[: min(count, int(annotated.sum()))]


def exact_search(bank: Tensor, queries: Tensor, k: int, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """Compare all queries with the whole bank: a :data:`Search` without other packages."""
    found = [(part @ bank.T).topk(min(k, len(bank)), dim=-1) for part in queries.split(chunk)]
    return torch.cat([values for values, _ in found]), torch.cat([indices for _, indices in found])


def faiss_search(bank: Tensor) -> Search:
    """Build an exact index of the package faiss over a bank: the same answers, faster for large banks on a CPU.

    Raises:
        ValueError: If faiss is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError:
        raise ValueError('the faiss search needs the package faiss: pip install faiss-cpu') from None
    index = faiss.IndexFlatIP(bank.shape[1])
    index.add(bank.float().cpu().numpy())

    def search(_: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        values, indices = index.search(queries.float().cpu().numpy(), min(k, index.ntotal))
        return torch.from_numpy(values).to(queries), torch.from_numpy(indices).to(queries.device)

    return search


def retrieve_labels(
    bank: Tensor,
    bank_shares: Tensor,
    features: Tensor,
    k: int = 30,
    temperature: float = 0.02,
    search: Search = exact_search,
) -> Tensor:
    """Average the labels of the nearest annotated patches (arXiv 2306.01667, section 3.1).

    Args:
        bank: Features of the memory (N, C), of any length.
        bank_shares: Their labels (N, K), as of :func:`patch_class_shares`.
        features: Features to label (M, C).
        k: Number of neighbors; all of the memory where there are fewer.
        temperature: Divides the cosine similarities, whose softmax over the neighbors weighs their labels.
        search: How neighbors are found; it gets features of length one.

    Returns:
        Labels (M, K), rows sum to one.
    """
    similarity, nearest = search(F.normalize(bank.float(), dim=-1), F.normalize(features.float(), dim=-1), k)
    weight = (similarity / temperature).softmax(-1)
    return torch.einsum('mk,mkc->mc', weight, bank_shares[nearest])


def label_map(labels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Upsample labels of patches (h, w, K) bilinearly and take the greatest: classes of pixels (H, W)."""
    maps = F.interpolate(labels.permute(2, 0, 1)[None], size=size_hw, mode='bilinear', align_corners=False)
    return maps[0].argmax(0)
