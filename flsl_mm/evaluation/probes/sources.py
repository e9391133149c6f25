"""Feature sources: models, and the trivial features (color, position, both) that each figure is compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from flsl_mm.models.pos_embed import resize_pos_embed, sincos_pos_embed
from flsl_mm.models.spec import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec
from flsl_mm.models.timm_vit import TimmSpec, TimmViT
from flsl_mm.models.vit import FLSLViT

from ..features import FeatureExtractor


class FeatureSource(Protocol):
    """Gives features of patches; :class:`~flsl_mm.evaluation.features.FeatureExtractor` is one.

    Attributes:
        name: Head of its column.
        patch_size: Side of a patch in pixels.
        value_range: Black and white of images with more than 8 bits, None or missing for those of 16 bits.
    """

    name: str
    patch_size: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return features (B, h, w, C) of images (B, 3, H, W), RGB 0 to 1, sides multiples of the patch size."""


def random_weights(spec: BackboneSpec, seed: int = 0) -> FeatureExtractor:
    """Build the network that a spec describes with random weights, as training starts from; same seed, same weights."""
    spec = replace(spec, mean=spec.mean or IMAGENET_MEAN, std=spec.std or IMAGENET_STD)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = (TimmViT if isinstance(spec, TimmSpec) else FLSLViT).from_spec(spec)
    backbone.requires_grad_(False)
    return FeatureExtractor(backbone, spec.mean, spec.std, 'random weights', spec.value_range).eval()


class MeanColor:
    """Mean color of each patch, as a network sees it, and a constant, so that the cosine tells dark from bright."""

    name = 'mean color'

    def __init__(self, patch_size: int) -> None:
        self.patch_size = patch_size

    def __call__(self, images: Tensor) -> Tensor:
        """Return colors (B, h, w, 4)."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        colors = F.avg_pool2d((images - mean) / std, self.patch_size)
        return F.pad(colors, (0, 0, 0, 0, 0, 1), value=1.0).permute(0, 2, 3, 1)


class PositionAlone:
    """The sine-cosine position table of a network, resized to the grid of the images, which it does not look at."""

    name = 'position alone'

    def __init__(self, spec: BackboneSpec) -> None:
        self.patch_size = spec.patch_size
        self.spec = spec
        self.table = sincos_pos_embed(spec.embed_dim, spec.grid_hw)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the same table for each image (B, h, w, C)."""
        grid_hw = (images.shape[2] // self.patch_size, images.shape[3] // self.patch_size)
        table = resize_pos_embed(self.table, self.spec.grid_hw, grid_hw, self.spec.pos_resize)
        return table.unflatten(1, grid_hw).expand(len(images), -1, -1, -1)


class ColorAndPosition:
    """Color and position in equal shares: what a network knows that has found no more than the two."""

    name = 'color and position'

    def __init__(self, spec: BackboneSpec) -> None:
        self.patch_size = spec.patch_size
        self.parts = (MeanColor(spec.patch_size), PositionAlone(spec))

    def __call__(self, images: Tensor) -> Tensor:
        """Return features (B, h, w, 4 + C), whose cosine is the mean of the two cosines."""
        return torch.cat([F.normalize(part(images), dim=-1) for part in self.parts], -1)


class Constant:
    """The same feature everywhere: what a collapsed network gives."""

    name = 'constant'

    def __init__(self, patch_size: int) -> None:
        self.patch_size = patch_size

    def __call__(self, images: Tensor) -> Tensor:
        """Return ones (B, h, w, 8)."""
        return images.new_ones(len(images), images.shape[2] // self.patch_size, images.shape[3] // self.patch_size, 8)
