"""Photometric jitter of a batch: parameters drawn per sample on the CPU, arithmetic on the images' device.

The operations follow what torchvision does to PIL images, as the original's augmentation (DINO's) is defined by it:
color jitter in a random order, random gray, then one of two branches of blur and solarisation. It is our own code
because torchvision draws one set of parameters for a whole batch, and kornia one order of the operations.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
    solarize,
)
from kornia.filters import filter2d_separable
from torch import Tensor

from flsl_mm.models.device import to_device

# Half of the 8-bit range: solarising PIL images at threshold 128 inverts every value that rounds to 128 or more.
SOLARIZE_THRESHOLD = 0.5
_BOX_PASSES = 3

Operation = Callable[[Tensor, Tensor], Tensor]
"""Changes images ``(B, 3, H, W)``, values 0 to 1, by one number each, ``(B,)``."""


@dataclass(frozen=True)
class PhotometricPolicy:
    """Probabilities and ranges of the photometric jitter; the defaults are the paper's (appendix, as in DINO).

    Args:
        jitter_prob: Probability of the color jitter.
        brightness: Factors are drawn from [1 - brightness, 1 + brightness].
        contrast: As brightness.
        saturation: As brightness.
        hue: Shifts are drawn from [-hue, hue], in turns of the color circle (at most 0.5).
        gray_prob: Probability that the sample becomes gray.
        blur_prob: Probability of a Gaussian blur in each of the two equally likely branches.
        solarize_prob: Probability of solarisation in each of the two branches.
        blur_sigma: Range of the blur's standard deviation in pixels.

    Raises:
        ValueError: If a probability or a range is not possible.
    """

    jitter_prob: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    gray_prob: float = 0.2
    blur_prob: tuple[float, float] = (0.5, 0.1)
    solarize_prob: tuple[float, float] = (0.0, 0.2)
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        probabilities = (self.jitter_prob, self.gray_prob, *self.blur_prob, *self.solarize_prob)
        if not all(0 <= p <= 1 for p in probabilities):
            raise ValueError(f'photometric: probabilities must lie between 0 and 1, got {self}')
        if not all(0 <= amount <= 1 for amount in (self.brightness, self.contrast, self.saturation)):
            raise ValueError(f'photometric: brightness, contrast and saturation must lie between 0 and 1, got {self}')
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f'photometric: hue must lie between 0 and 0.5 turns, got {self.hue}')
        if not 0 < self.blur_sigma[0] <= self.blur_sigma[1]:
            raise ValueError(f'photometric: blur_sigma must be a positive range (low, high), got {self.blur_sigma}')


@dataclass(frozen=True)
class PhotometricParams:
    """Parameters of the jitter of ``B`` samples, all on the CPU.

    Args:
        jitter: ``(B,)`` bool, whether the sample's colors are jittered.
        order: ``(B, 4)`` int64, the order of the sample's jitter: ``order[b, r]`` is the operation of round ``r``
            (0 brightness, 1 contrast, 2 saturation, 3 hue).
        factors: ``(B, 4)`` float, the factors of brightness, contrast and saturation, and the hue's shift in turns.
        gray: ``(B,)`` bool, whether the sample becomes gray.
        blur: ``(B,)`` bool, whether the sample is blurred.
        sigma: ``(B,)`` float, standard deviation of the blur in pixels.
        solarize: ``(B,)`` bool, whether the sample is solarised.
    """

    jitter: Tensor
    order: Tensor
    factors: Tensor
    gray: Tensor
    blur: Tensor
    sigma: Tensor
    solarize: Tensor


def draw_photometric(batch_size: int, policy: PhotometricPolicy, generator: torch.Generator) -> PhotometricParams:
    """Draw the jitter's parameters, independently for each sample.

    Args:
        batch_size: Number of samples.
        policy: Probabilities and ranges.
        generator: CPU generator of the random numbers.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(batch_size, *shape, generator=generator)

    amount = torch.tensor([policy.brightness, policy.contrast, policy.saturation, policy.hue])
    neutral = torch.tensor([1.0, 1.0, 1.0, 0.0])
    branch = (uniform() < 0.5).long()
    low, high = policy.blur_sigma
    return PhotometricParams(
        jitter=uniform() < policy.jitter_prob,
        order=uniform(4).argsort(dim=1),
        factors=neutral + amount * (2 * uniform(4) - 1),
        gray=uniform() < policy.gray_prob,
        blur=uniform() < torch.tensor(policy.blur_prob)[branch],
        sigma=low + (high - low) * uniform(),
        solarize=uniform() < torch.tensor(policy.solarize_prob)[branch],
    )


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue of each image, keeping its HSV saturation and value.

    The same numbers as kornia's ``adjust_hue`` to 1e-6, without forming an HSV image: 4.5 times as fast on a CPU,
    where kornia's took half of the time of all views.

    Args:
        images: ``(B, 3, H, W)``, values 0 to 1.
        turns: ``(B,)``, shift in turns of the color circle.
    """
    red, green, blue = images.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # Selecting by a weight of 0 or 1 is exact and, on a CPU, several times as fast as the branches of `torch.where`.
    sector = torch.lerp(
        (red - green).add_(chroma, alpha=4), (blue - red).add_(chroma, alpha=2), (value == green).to(images.dtype)
    )
    sector.lerp_(green - blue, (value == red).to(images.dtype))
    # Hue in sixths of a turn, 0 to 6; a gray pixel has chroma 0, for which any hue will do.
    hue = sector.div_(chroma + 1e-12).add_(6 * turns.view(-1, 1, 1, 1))
    hue.sub_((hue / 6).floor_(), alpha=6)
    # A channel lies below the value by a share of the chroma, which follows from the distance to a hue.
    shares = ((hue - 3).abs_().sub_(2), 1 - (hue - 2).abs_(), 1 - (hue - 4).abs_())
    shifted = torch.empty_like(images)
    for channel, share in enumerate(shares):
        shifted[:, channel : channel + 1] = torch.addcmul(value, share.clamp_(-1, 0), chroma)
    return shifted


def gaussian_blur(images: Tensor, sigma: Tensor, max_sigma: float) -> Tensor:
    """Blur each image as PIL's ``GaussianBlur(radius=sigma)`` does, edges replicated.

    A sampled Gaussian of small sigma blurs less than PIL's filter (up to 2/255 mean difference at 0.4 pixels), so
    the kernel is PIL's own: three box filters whose variances add up to ``sigma ** 2``.

    Args:
        images: ``(B, 3, H, W)``, values 0 to 1.
        sigma: ``(B,)``, standard deviation in pixels, positive.
        max_sigma: Upper bound of ``sigma``, known to the host; it sets the size of the kernel.
    """
    kernel = box_blur_kernel(sigma, max_sigma)
    return filter2d_separable(images, kernel, kernel, border_type='replicate')


def box_blur_kernel(sigma: Tensor, max_sigma: float) -> Tensor:
    """Convolve three equal box filters with fractional edges that have the given standard deviation together.

    Args:
        sigma: ``(B,)``, standard deviation in pixels, positive.
        max_sigma: Upper bound of ``sigma``; the kernel has no more taps than this needs.

    Returns:
        ``(B, taps)``, each row symmetric and of sum 1, with an odd number of taps.
    """
    reach = int((math.sqrt(12 * max_sigma**2 / _BOX_PASSES + 1) - 1) / 2) + 1
    variance = sigma[:, None] ** 2 / _BOX_PASSES
    # The clamp only guards against rounding where sigma equals max_sigma.
    full = torch.floor((torch.sqrt(12 * variance + 1) - 1) / 2).clamp(max=reach - 1)
    # A box of 2 * full + 1 taps of weight 1 and two edge taps of weight `edge` has exactly this variance.
    edge = (2 * full + 1) * (full * (full + 1) - 3 * variance) / (6 * (variance - (full + 1) ** 2))
    distance = torch.arange(-reach, reach + 1, device=sigma.device).abs()
    box = (full + edge + 1 - distance).clamp(0, 1) / (2 * (full + edge) + 1)
    kernel = box
    for _ in range(_BOX_PASSES - 1):
        kernel = F.conv1d(kernel[None], box[:, None], padding=2 * reach, groups=len(box))[0]
    return kernel


def apply_photometric(images: Tensor, params: PhotometricParams) -> Tensor:
    """Jitter each image with its own parameters; an operation touches only the samples that drew it.

    Which samples those are is known on the CPU, so nothing waits for the device.

    Args:
        images: ``(B, 3, H, W)``, values 0 to 1, on any device; not changed.
        params: Parameters of the ``B`` samples.

    Returns:
        ``(B, 3, H, W)``, values 0 to 1.
    """
    steps = [(operation, chosen.nonzero().flatten(), values) for operation, chosen, values in _steps(params)]
    steps = [step for step in steps if len(step[1])]
    if not steps:
        return images
    counts = [len(samples) for _, samples, _ in steps]
    samples = to_device(torch.cat([samples for _, samples, _ in steps]), images.device).split(counts)
    values = to_device(torch.cat([values[samples] for _, samples, values in steps]), images.device).split(counts)
    images = images.clone()
    for (operation, _, _), index, value in zip(steps, samples, values, strict=True):
        images.index_copy_(0, index, operation(images.index_select(0, index), value))
    return images


def _steps(params: PhotometricParams) -> Iterator[tuple[Operation, Tensor, Tensor]]:
    """List the operations in their order: function, ``(B,)`` mask of its samples, ``(B,)`` values for the function."""
    jitters = (
        adjust_brightness_accumulative,
        adjust_contrast_with_mean_subtraction,
        adjust_saturation_with_gray_subtraction,
        adjust_hue,
    )
    # Each sample has its own order: in each of four rounds an operation takes the samples whose turn it is.
    for turn in range(len(jitters)):
        for number, operation in enumerate(jitters):
            yield operation, params.jitter & (params.order[:, turn] == number), params.factors[:, number]
    # Saturation 0 is PIL's gray.
    yield adjust_saturation_with_gray_subtraction, params.gray, torch.zeros_like(params.sigma)
    yield partial(gaussian_blur, max_sigma=float(params.sigma.max())), params.blur, params.sigma
    yield solarize, params.solarize, torch.full_like(params.sigma, SOLARIZE_THRESHOLD)
