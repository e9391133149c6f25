"""Crops of the teacher view: their kinds, boxes and resizing, for a whole batch at once (pure functions)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """Student crops of one kind.

    Args:
        num: Number of crops of each image (0 too).
        size: Side of the resized crop in pixels.
        scale: Range of the crop's area, as a fraction of the teacher view's area; drawn uniformly.
        window: Side in tokens of the square windows of which each gives one query; see
            :func:`~flsl_mm.selfsup.queries.sample_queries`.

    Raises:
        ValueError: If a value is not possible.
    """

    num: int
    size: int
    scale: tuple[float, float]
    window: int = 2

    def __post_init__(self) -> None:
        if self.num < 0 or self.size < 1 or self.window < 1:
            raise ValueError(f'crops: num must be 0 or more, size and window 1 or more, got {self}')
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f'crops: scale must be a range (low, high) with 0 < low <= high <= 1, got {self}')


def group_by_kind(crops: Sequence[Crops], of_views: Sequence[Tensor]) -> list[tuple[Crops, list[Tensor]]]:
    """Put the student views of one kind together, or what belongs to them; one forward pass takes a kind's views.

    Args:
        crops: The kind of each student view, in the order of the views.
        of_views: One tensor for each student view.
    """
    pairs = zip(crops, of_views, strict=True)
    return [(kind, [of_view for _, of_view in group]) for kind, group in groupby(pairs, key=itemgetter(0))]


def draw_crop_boxes(
    batch_size: int,
    side: int,
    scale: tuple[float, float],
    generator: torch.Generator,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Draw one crop of each square image as torchvision's ``RandomResizedCrop`` does, for the whole batch at once.

    Args:
        batch_size: Number of images B.
        side: Side of the images in pixels.
        scale: Range of the crop's area as a fraction of the image's; drawn uniformly.
        generator: CPU generator of the random numbers.
        ratio: Range of width / height of the crop; drawn log-uniformly.

    Returns:
        Boxes (left, top, width, height) in whole pixels, ``(B, 4)`` int64 on the CPU. The whole image where none of
        ten crops fits.
    """
    area, aspect = torch.rand(2, batch_size, 10, generator=generator, dtype=torch.float64)
    area = side**2 * (scale[0] + (scale[1] - scale[0]) * area)
    log_low, log_high = torch.tensor(ratio, dtype=torch.float64).log()
    aspect = torch.exp(log_low + (log_high - log_low) * aspect)
    sizes = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=-1).round().long()
    fits = ((sizes > 0) & (sizes <= side)).all(-1)
    first = sizes[torch.arange(batch_size), fits.int().argmax(1)]
    sizes = torch.where(fits.any(1, keepdim=True), first, side)
    corner = torch.rand(batch_size, 2, generator=generator, dtype=torch.float64) * (side - sizes + 1)
    return torch.cat([corner.long(), sizes], dim=1)


def relative_boxes(boxes: Tensor, within: Tensor) -> Tensor:
    """Return boxes (left, top, width, height) ``(B, 4)`` as fractions of other boxes, ``(B, 4)`` or ``(1, 4)``."""
    corner, size = within[:, :2], within[:, 2:]
    return torch.cat([(boxes[:, :2] - corner) / size, boxes[:, 2:] / size], dim=1)


def crop_resize(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crop each image and resize the crop as PIL does: bicubic, antialiased where it shrinks.

    Resampling is linear and separable, so it is two products with a weight matrix per sample.

    Args:
        images: ``(B, C, H, W)``, values 0 to 1.
        boxes: (left, top, width, height) in pixels, ``(B, 4)``, inside the images, on the images' device.
        size: Side of the output in pixels.

    Returns:
        ``(B, C, size, size)``, values 0 to 1.
    """
    height, width = images.shape[-2:]
    left, top, box_width, box_height = boxes.to(images.dtype).unbind(1)
    across = resample_weights(left, box_width, size, width)
    down = resample_weights(top, box_height, size, height)
    # PIL, too, resizes rows first and clips the overshoot of the bicubic kernel after either pass.
    rows = torch.bmm(images.flatten(1, 2), across.transpose(1, 2)).clamp_(0, 1)
    return torch.matmul(down[:, None], rows.unflatten(1, (-1, height))).clamp_(0, 1)


def resample_weights(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """Weights with which the pixels of a line make those of its resized segment (PIL's bicubic filter).

    Args:
        start: ``(B,)``, first pixel of the segment.
        length: ``(B,)``, number of pixels of the segment.
        size: Number of pixels of the result.
        extent: Number of pixels of the line.

    Returns:
        ``(B, size, extent)``; each row sums to 1 and is 0 outside of the segment.
    """
    start, length = start[:, None], length[:, None]
    scale = length / size
    stretch = scale.clamp(min=1)
    wanted = start + (torch.arange(size, device=start.device) + 0.5) * scale
    # The filter reaches over few pixels of the line: weights are computed for those alone, and the others are 0.
    taps = min(int(4 * max(extent / size, 1)) + 1, extent)
    first = torch.ceil(wanted - 2 * stretch - 0.5).clamp(0, extent - taps)
    pixels = first[..., None] + torch.arange(taps, device=start.device)
    given = pixels + 0.5
    weights = bicubic((given - wanted[..., None]).abs() / stretch[..., None])
    weights *= (given > start[..., None]) & (given < (start + length)[..., None])
    weights /= weights.sum(-1, keepdim=True)
    return weights.new_zeros(len(start), size, extent).scatter_(-1, pixels.long(), weights)


def bicubic(distance: Tensor, a: float = -0.5) -> Tensor:
    """Keys' cubic convolution kernel with PIL's slope parameter, for non-negative distances of any shape."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * a
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
