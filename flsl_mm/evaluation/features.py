"""Public Python API: load a checkpoint, extract patch features."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from flsl_mm.checkpoint import CheckpointError, find_backbone, load_backbone, read_checkpoint
from flsl_mm.checkpoint.convert import complete_spec
from flsl_mm.checkpoint.find import format_differences
from flsl_mm.datasets.decode import read_image, upright_rgb
from flsl_mm.datasets.value_range import using_range
from flsl_mm.models.backbone import PatchBackbone
from flsl_mm.models.spec import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec
from flsl_mm.models.timm_vit import TimmViT
from flsl_mm.models.vit import FLSLViT
from flsl_mm.utils.mm import print_log

AnyImage = str | os.PathLike | Image.Image | np.ndarray | Tensor
"""An image in any of the forms that :func:`image_tensor` takes."""


def load_model(
    path: str | os.PathLike,
    arch: str | Mapping | None = None,
    patch_size: int | None = None,
    num_heads: int | None = None,
    branch: str = 'teacher',
    device: str | torch.device = 'cpu',
    logger: logging.Logger | str = 'current',
) -> FeatureExtractor:
    """Load the backbone of a checkpoint, ready to give features.

    What the file declares need not be given; what is given must agree with it. Where it says nothing of the number of
    heads, those of the usual ViT of its width are taken, and of the normalization, ImageNet's; the log tells.

    Args:
        path: Any file that :mod:`flsl_mm.checkpoint` reads: backbone and training checkpoints and detectors of this
            package, official FLSL, DINO, DeiT, timm; or ``'first_look'``, a small model that comes with the package.
        arch: ``'tiny'``, ``'small'``, ``'base'`` or a dict as of :class:`~flsl_mm.models.FLSLViT`, for files that do
            not say.
        patch_size: Side of a patch in pixels, likewise.
        num_heads: Number of attention heads, likewise.
        branch: ``'teacher'`` or ``'student'``, where the file has both.
        device: Where it computes.
        logger: Where it is logged what was loaded: by default MMEngine's logger, ``'silent'`` for nowhere.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it holds no backbone, a part of one, or another than was given; or if heads are not known.
    """
    checkpoint = read_checkpoint(path)
    requested = BackboneSpec.from_arch(arch) if arch else BackboneSpec()
    requested = replace(requested, patch_size=patch_size, num_heads=num_heads or requested.num_heads)
    try:
        found = find_backbone(checkpoint, branch).spec
        if differing := found.differences(requested):
            raise CheckpointError(f'the file holds another backbone: {format_differences(differing, "file", "call")}')
        spec = complete_spec(
            found.filled_from(requested), advice='give arch= or num_heads= (tools: --arch, --num-heads)'
        )
    except CheckpointError as error:
        raise CheckpointError(f'{os.fspath(path)}: {error}') from None
    if spec.mean is None or spec.std is None:
        print_log(f"{os.fspath(path)} does not say how its images were normalized: ImageNet's is used", logger)
        spec = replace(spec, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    backbone = FLSLViT.from_spec(spec)
    load_backbone(backbone, checkpoint, branch, os.fspath(path), logger)
    extractor = FeatureExtractor(backbone.requires_grad_(False), spec.mean, spec.std, Path(path).stem, spec.value_range)
    return extractor.to(device).eval()


def load_timm_model(
    model_name: str,
    checkpoint: str | os.PathLike | None = None,
    pretrained: bool = False,
    stride: int | None = None,
    device: str | torch.device = 'cpu',
) -> FeatureExtractor:
    """Load a vision transformer of timm, ready to give features; images are normalized as its name says.

    Args:
        model_name: timm's name with its tag, for example ``'vit_small_patch14_dinov2.lvd142m'``.
        checkpoint: File with its weights: timm's, or an official one that timm translates. By default they are random.
        pretrained: Whether timm may fetch them instead, from its cache or from the network.
        stride: As of :class:`~flsl_mm.models.TimmViT`.
        device: Where it computes.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If timm is to fetch the weights and cannot.
        ValueError: If timm has no such model, or it is not a plain vision transformer; if there are two sources of
            weights.
        CheckpointError: If the file does not hold every tensor of the model.
    """
    if checkpoint and pretrained:
        raise ValueError(f'{model_name}: give checkpoint, or pretrained=True, not both')
    backbone = TimmViT(model_name, stride=stride, pretrained=pretrained)
    name = f'{model_name} random'
    if checkpoint:
        load_backbone(backbone, checkpoint)
        name = Path(checkpoint).stem
    elif pretrained:
        name = model_name
    extractor = FeatureExtractor(backbone.requires_grad_(False), **backbone.published_input, name=name)
    return extractor.to(device).eval()


class FeatureExtractor(nn.Module):
    """A backbone that takes images as they are and gives the features of their patches.

    Args:
        backbone: The backbone; any ``out_type`` and ``out_indices``.
        mean: Mean of red, green and blue, for values 0 to 1, with which its images are normalized.
        std: Standard deviation of the same.
        name: What tables call it.
        value_range: Black and white of images with more than 8 bits, None for those of 16 bits.

    Attributes:
        spec: The backbone's :class:`~flsl_mm.models.BackboneSpec`, with ``mean`` and ``std``.
        value_range: As given.
        patch_size: Side of a patch in pixels.
        embed_dim: Width C of the features.
    """

    def __init__(
        self,
        backbone: PatchBackbone,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        name: str = 'model',
        value_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.spec = replace(backbone.spec, mean=tuple(mean), std=tuple(std), value_range=value_range)
        self.value_range = value_range
        self.patch_size = backbone.patch_size
        self.embed_dim = backbone.embed_dim
        self.name = name

    def transform(self, image: AnyImage, resize: int | tuple[int, int] | None = None) -> Tensor:
        """Make an image ready for :meth:`features`.

        Args:
            image: As of :func:`image_tensor`.
            resize: Length of the shorter side, or height and width, in pixels; by default the image keeps its size.

        Returns:
            Normalized tensor (3, H, W).
        """
        with using_range(self.value_range):
            return self.normalize(image_tensor(image, resize))

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images (..., 3, H, W), RGB 0 to 1, as in training."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.spec.mean, self.spec.std))
        return (images - mean) / std

    @torch.no_grad()
    def features(
        self, images: Tensor | AnyImage | Sequence[AnyImage], layers: Sequence[int] | None = None
    ) -> Tensor | list[Tensor]:
        """Return the features of patches, after the last norm.

        Args:
            images: A batch as :meth:`transform` makes it, normalized floats (B, 3, H, W), or one image or several of
                one size as :func:`image_tensor` takes them. Sides that are not multiples of the patch size are padded
                with zeros on the right and at the bottom.
            layers: Blocks whose output is wanted, 0-based, negative from the end; only the last is normed.

        Returns:
            Features (B, h, w, C), h = ceil(H / patch_size); with ``layers`` a list of them.

        Raises:
            ValueError: If the images differ in size, ``layers`` names no block, or as :func:`image_tensor`.
        """
        if not (isinstance(images, Tensor) and images.dim() == 4 and images.is_floating_point()):
            one = isinstance(images, (str, os.PathLike, Image.Image)) or getattr(images, 'ndim', 4) == 3
            ready = [self.transform(image) for image in ([images] if one else images)]
            if len({image.shape for image in ready}) != 1:
                sizes = sorted({f'{image.shape[1]}x{image.shape[2]}' for image in ready})
                raise ValueError(f'images of one size are needed, got {", ".join(sizes) or "none"}: resize them')
            images = torch.stack(ready)
        depth = self.spec.depth
        if layers is not None and len(layers) == 0:
            raise ValueError('layers is empty: name the blocks whose output is wanted, or leave it out for the last')
        if any(not -depth <= index < depth for index in layers or ()):
            raise ValueError(f'layers {tuple(layers)} out of range for {depth} blocks')
        maps = self._maps(images, [index % depth for index in layers or (-1,)])
        return maps[0] if layers is None else maps

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, h, w, C) of images (B, 3, H, W), RGB 0 to 1, not normalized."""
        return self._maps(self.normalize(images), [self.spec.depth - 1])[0]

    def _maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        images = images.to(next(self.backbone.parameters()).device)
        outputs, grid_hw = self.backbone.block_tokens(images, layers)
        return [tokens.unflatten(1, grid_hw) for tokens in outputs]


def image_tensor(image: AnyImage, resize: int | tuple[int, int] | None = None) -> Tensor:
    """Bring an image of any form into one.

    Args:
        image: Path of a file, PIL image, both turned upright as their EXIF orientation says; uint8 array (H, W, 3) or
            uint8 tensor (3, H, W); float tensor (3, H, W), 0 to 1. Colors are RGB.
        resize: Length of the shorter side, or height and width, in pixels: bicubic, antialiased.

    Returns:
        RGB (3, H, W), float32, 0 to 1.

    Raises:
        ImageError: If it is a file that cannot be read.
        ValueError: If it is none of these.
    """
    if isinstance(image, (str, os.PathLike)):
        image = read_image(image)
    elif isinstance(image, Image.Image):
        image = upright_rgb(image)
    if isinstance(image, Image.Image):
        image = np.array(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f'an image array is uint8 (H, W, 3), RGB, got {image.dtype} {image.shape}')
        image = torch.from_numpy(image).permute(2, 0, 1)
    if not isinstance(image, Tensor):
        raise ValueError(f'an image is a path, a PIL image, an array or a tensor, got {type(image).__name__}')
    if image.dim() != 3 or image.shape[0] != 3 or not (image.dtype == torch.uint8 or image.is_floating_point()):
        raise ValueError(f'an image tensor is uint8 or float (3, H, W), RGB, got {image.dtype} {tuple(image.shape)}')
    if image.is_floating_point() and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            'a float image has values 0 to 1; stack normalized images to a batch (B, 3, H, W), which is taken as it is'
        )
    if resize is not None:
        image = TF.resize(image, resize, InterpolationMode.BICUBIC, antialias=True)
    return image.float() / 255 if image.dtype == torch.uint8 else image.float().clamp(0, 1)
