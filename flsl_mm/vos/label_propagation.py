"""Label propagation: soft labels follow the most similar patches of earlier frames (pure functions).

The arithmetic is that of the video evaluation of DINO (facebookresearch/dino@7c446df ``eval_video_segmentation.py``),
which FLSL uses unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

TILE_HW = (10, 26)
"""Rows and columns of queries that are compared at once: larger tiles take more keys in vain, smaller ones more calls.

A constant and no option, so that the arithmetic of a patch follows from the size of the grid alone. It divides the
30x52 patches of an 832x480 frame.
"""


def one_hot_labels(mask: Tensor, object_ids: Sequence[int]) -> Tensor:
    """Turn a mask of object ids into one soft label per patch.

    Args:
        mask: Object ids (h, w), 0 is the background. Ids that ``object_ids`` does not list become background.
        object_ids: The K ids of the foreground objects.

    Returns:
        Labels (h, w, 1 + K), float32; channel 0 is the background.
    """
    ids = torch.as_tensor(object_ids, dtype=mask.dtype, device=mask.device)
    objects = (mask.unsqueeze(-1) == ids).float()
    return torch.cat([1 - objects.sum(-1, keepdim=True), objects], dim=-1)


def _in_reach(queries: range, length: int, radius: int | None) -> range:
    """Return the key rows (or columns) of a grid of some length that the windows of query rows (or columns) touch."""
    if radius is None:
        return range(length)
    return range(max(0, queries.start - radius), min(length, queries.stop + radius))


def _outside_window(
    query_hw: tuple[range, range], key_hw: tuple[range, range], radius: int, device: torch.device
) -> Tensor:
    """Return which keys are outside the square window of a query: bool (n, m, b, c) for n x m queries, b x c keys."""
    far_rows, far_columns = (
        (torch.arange(q.start, q.stop, device=device)[:, None] - torch.arange(k.start, k.stop, device=device)).abs()
        > radius
        for q, k in zip(query_hw, key_hw, strict=True)
    )
    return far_rows[:, None, :, None] | far_columns[None, :, None, :]


def _propagate_tile(queries: Tensor, keys: Tensor, labels: Tensor, outside: Tensor | None, topk: int) -> Tensor:
    """Propagate labels to a tile of queries.

    Args:
        queries: (n, m, C), unit length over temperature.
        keys: (b, c, T, C), unit length: every key that some query's window touches.
        labels: (b, c, T, K).
        outside: Bool (n, m, b, c), True where a key is not in a query's window, or None.
        topk: Number of keys a query takes.
    """
    logits = queries.flatten(0, 1) @ keys.flatten(0, 2).T
    if outside is not None:
        logits.view(*outside.shape, -1).masked_fill_(outside.unsqueeze(-1), -torch.inf)
    best, index = logits.topk(min(topk + 1, logits.shape[1]), dim=1)
    lowest = best[:, :topk][:, -1:]
    labels = labels.flatten(0, 2)
    if (best[:, topk:] == lowest).any():
        # Repeated frames give equal keys. As in the original, all keys as good as the last of the best are taken: which
        # of them a sort puts first must not matter.
        result = logits.masked_fill_(logits < lowest, -torch.inf).softmax(dim=1) @ labels
    else:
        result = (best[:, :topk].softmax(dim=1).unsqueeze(1) @ labels[index[:, :topk]]).squeeze(1)
    return result.unflatten(0, queries.shape[:2])


def propagate_labels(
    queries: Tensor,
    keys: Sequence[Tensor],
    labels: Sequence[Tensor],
    radius: int | None = 12,
    topk: int = 5,
    temperature: float = 0.1,
) -> Tensor:
    """Assign each patch of a frame the mean label of its most similar patches in the context frames.

    The weight of a key is exp(cosine / temperature); only the best ``topk`` keys of a query over all context frames
    have a weight (with those that equal the last of them). Queries are compared tile by tile with the keys that their
    windows touch, so neither a tokens x context matrix nor a window mask over the whole frame ever exists.

    Args:
        queries: Unit-length features (h, w, C) of the frame.
        keys: Unit-length features (h, w, C) of each context frame.
        labels: Soft labels (h, w, K) of each context frame.
        radius: A key is used if it is at most so many rows and columns from the query; None uses the whole frame.
        topk: Number of keys, at least 1.
        temperature: Divides the cosine, above 0.

    Returns:
        Soft labels (h, w, K) that sum to 1 where the labels do.
    """
    h, w = queries.shape[:2]
    # Frames lie next to each other at every patch, so that one product compares with all of them.
    stacked_keys, stacked_labels = torch.stack(tuple(keys), dim=2), torch.stack(tuple(labels), dim=2)
    queries = queries / temperature
    result = stacked_labels.new_empty(h, w, stacked_labels.shape[-1])
    for top, left in product(range(0, h, TILE_HW[0]), range(0, w, TILE_HW[1])):
        tile = range(top, min(h, top + TILE_HW[0])), range(left, min(w, left + TILE_HW[1]))
        reach = _in_reach(tile[0], h, radius), _in_reach(tile[1], w, radius)
        outside = None if radius is None else _outside_window(tile, reach, radius, queries.device)
        at, near = (tuple(slice(r.start, r.stop) for r in ranges) for ranges in (tile, reach))
        result[at] = _propagate_tile(queries[at], stacked_keys[near], stacked_labels[near], outside, topk)
    return result


def _bilinear_weights(length: int, size: int, like: Tensor) -> Tensor:
    """Return the share (size, length) of each of ``length`` samples in each of ``size`` pixels of a bilinear resize."""
    positions = (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) * (length / size) - 0.5
    samples = torch.arange(length, dtype=like.dtype, device=like.device)
    return (1 - (positions.clamp(0, length - 1)[:, None] - samples).abs()).clamp(min=0)


def upsample_labels(labels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize label maps bilinearly (pixels sampled at their centers: ``interpolate`` with ``align_corners=False``).

    ``torch.nn.functional.interpolate`` rounds differently with one thread and with several, which would let masks
    depend on the number of processes.

    Args:
        labels: Maps (K, h, w).
        size_hw: Wanted (H, W).

    Returns:
        Maps (K, H, W).
    """
    rows, columns = (
        _bilinear_weights(length, size, labels) for length, size in zip(labels.shape[-2:], size_hw, strict=True)
    )
    return rows @ (labels @ columns.T)


def stretch_labels(labels: Tensor) -> Tensor:
    """Stretch each label map to the range 0..1 (min-max); a constant map keeps its value.

    Args:
        labels: Maps (K, H, W), not negative.
    """
    low, high = labels.flatten(1).aminmax(dim=1)
    constant = low == high
    low, span = low.masked_fill(constant, 0), (high - low).masked_fill(constant, 1)
    return (labels - low[:, None, None]) / span[:, None, None]


def labels_to_mask(labels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Turn the soft labels of the patches into a mask: enlarge, stretch each object, take the largest.

    Args:
        labels: Soft labels (h, w, K), channel 0 the background, K at most 256.
        size_hw: Size (H, W) of the mask in pixels.

    Returns:
        Channel numbers (H, W), uint8; the lowest of equal channels.
    """
    maps = stretch_labels(upsample_labels(labels.permute(2, 0, 1), size_hw))
    best, mask = maps[0], torch.zeros(size_hw, dtype=torch.uint8, device=labels.device)
    # An argmax over the first dimension takes ten times as long on the CPU.
    for channel in range(1, len(maps)):
        mask = mask.masked_fill(maps[channel] > best, channel)
        best = torch.maximum(best, maps[channel])
    return mask
