"""Data preprocessor of the pretraining: teacher views from the loader -> normalized views, batched, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from .photometric import PhotometricPolicy, apply_photometric, draw_photometric, to_device


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


@MODELS.register_module()
class FLSLDataPreprocessor(BaseDataPreprocessor):
    """Make the views of FLSL on the training device (paper section 4.1 and appendix).

    The loader's uint8 crop is the teacher view. The student views are crops of it, without flips. Then each view
    gets a photometric jitter of its own, independent between samples, and is normalized. The random numbers come
    from torch's default CPU generator (one draw a batch): its seed decides the views.

    Args:
        mean: Mean of red, green and blue, for values 0 to 1.
        std: Standard deviation of red, green and blue, for values 0 to 1.
        global_crops: :class:`Crops` of the global student views; what is not given is num=1, size=224,
            scale=(0.5, 1), window=2.
        local_crops: :class:`Crops` of the local student views; what is not given is num=2, size=96,
            scale=(0.05, 0.4), window=2.
        photometric: :class:`~flsl_mm.selfsup.photometric.PhotometricPolicy` where it differs from the paper's.
        clean_views: Also return the views without their photometric jitter (for multi-stage pretraining).
        non_blocking: Whether the host continues while pinned images are copied to the device.

    Attributes:
        crops: The :class:`Crops` of each student view, in the order of the views.

    Raises:
        ValueError: If there is no student view or an option has an impossible value.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        global_crops: dict | None = None,
        local_crops: dict | None = None,
        photometric: dict | None = None,
        clean_views: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        global_kind = Crops(**{'num': 1, 'size': 224, 'scale': (0.5, 1.0), **(global_crops or {})})
        local_kind = Crops(**{'num': 2, 'size': 96, 'scale': (0.05, 0.4), **(local_crops or {})})
        self.crops = [global_kind] * global_kind.num + [local_kind] * local_kind.num
        if not self.crops:
            raise ValueError('the student has no view: set global_crops.num or local_crops.num to 1 or more')
        self.photometric = PhotometricPolicy(**(photometric or {}))
        self.clean_views = clean_views
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, data: dict, training: bool = False) -> dict:
        """Make the model's input of a batch of the loader.

        Args:
            data: ``inputs``, a list of ``(3, S, S)`` tensors or one ``(B, 3, S, S)`` tensor, values 0 to 255, uint8
                as the loader gives them or float. Other keys are not used.
            training: Whether to make views. If not, the images are only normalized.

        Returns:
            Training: ``inputs`` is a dict with ``views``, the normalized views ``[(B, 3, S, S), ...]``: teacher view
            first, then global and local student views; ``boxes``, left, top, width and height of each student view as
            fractions of the teacher view ``[(B, 4), ...]``; with the option, ``clean_views`` is the same list as
            ``views`` without photometric jitter. Otherwise ``inputs`` is the normalized ``(B, 3, S, S)``.
            ``data_samples`` is None.
        """
        images = data['inputs']
        if not isinstance(images, Tensor):
            images = torch.stack(tuple(images))
        images = images.to(self.device, non_blocking=self._non_blocking)
        # The runner calls this under autocast, and 8 bits of a bfloat16 mantissa do not hold an 8-bit image.
        with torch.autocast(images.device.type, enabled=False):
            images = images.float() / 255
            inputs = self._views(images) if training else self._normalize(images)
        return dict(inputs=inputs, data_samples=None)

    def _views(self, images: Tensor) -> dict[str, list[Tensor]]:
        seed = int(torch.randint(2**62, (1,)))
        generator = torch.Generator().manual_seed(seed)
        clean, boxes = self.crop(images, generator)
        views = {'views': self.jitter(clean, generator), 'boxes': [box / images.shape[-1] for box in boxes]}
        if self.clean_views:
            views['clean_views'] = [self._normalize(view) for view in clean]
        return views

    def crop(self, images: Tensor, generator: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
        """Return the teacher view, images ``(B, 3, S, S)``, 0 to 1, with crops of it, and the boxes of the crops."""
        views, boxes = [images], []
        for crops in self.crops:
            drawn = draw_crop_boxes(len(images), images.shape[-1], crops.scale, generator)
            boxes.append(to_device(drawn, images.device))
            views.append(crop_resize(images, boxes[-1], crops.size))
        return views, boxes

    def jitter(self, views: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Give each view ``(B, 3, S, S)``, values 0 to 1, with photometric jitter of its own, normalized."""
        drawn = [draw_photometric(len(view), self.photometric, generator) for view in views]
        jittered = (apply_photometric(view, params) for view, params in zip(views, drawn, strict=True))
        return [self._normalize(view) for view in jittered]

    def _normalize(self, images: Tensor) -> Tensor:
        return (images - self.mean).div_(self.std)
