"""Export to a file for timm's ``create_model``, with the arguments that build the same network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from flsl_mm.checkpoint import backbone_content, write_safetensors
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.models.pos_embed import resize_pos_embed

BASE = 'vit_small_patch16_224'
"""timm's model whose settings the arguments replace, all that make a difference."""


def whole_patches(size_hw: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Round an image size up to whole patches, as images are padded."""
    return tuple(-(-side // patch_size) * patch_size for side in size_hw)


def write_timm(model: FeatureExtractor, path: Path, size_hw: tuple[int, int]) -> None:
    """Write the weights, with the position table for images of a size; a square one loads as a backbone here too."""
    size_hw, spec = whole_patches(size_hw, model.patch_size), model.spec
    grid_hw = tuple(side // model.patch_size for side in size_hw)
    positions = resize_pos_embed(model.backbone.pos_embed, spec.grid_hw, grid_hw, spec.pos_resize)
    tensors = {**model.backbone.state_dict(), 'pos_embed': positions}
    square = size_hw[0] == size_hw[1]
    write_safetensors(backbone_content(tensors, replace(spec, img_size=size_hw[0])), path, with_meta=square)


def timm_arguments(model: FeatureExtractor, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments of ``timm.create_model``, after the name, that build the network of :func:`write_timm`."""
    spec, size_hw = model.spec, whole_patches(size_hw, model.patch_size)
    return dict(
        **spec.arch,
        patch_size=spec.patch_size,
        img_size=size_hw,
        class_token=False,
        global_pool='',
        num_classes=0,
        dynamic_img_size=True,
        dynamic_img_pad=True,
        pretrained_cfg_overlay=dict(mean=_rounded(spec.mean), std=_rounded(spec.std), input_size=(3, *size_hw)),
    )


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    """Round numbers to what float32 keeps of them."""
    return tuple(round(value, 6) for value in values)


def timm_line(model: FeatureExtractor, path: Path, size_hw: tuple[int, int]) -> str:
    """Write the line of Python that loads the file in timm."""
    arguments = {**timm_arguments(model, size_hw), 'checkpoint_path': str(path)}
    return f'model = timm.create_model({BASE!r}, {", ".join(f"{name}={value!r}" for name, value in arguments.items())})'


def load_timm(model: FeatureExtractor, path: Path, size_hw: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Load the file as the line says, and give features (B, h, w, C) of images, RGB 0 to 1, as ``model`` does."""
    vit = timm.create_model(BASE, **timm_arguments(model, size_hw), checkpoint_path=str(path)).eval()

    def features(images: Tensor) -> Tensor:
        grid_hw = tuple(-(-side // model.patch_size) for side in images.shape[2:])
        return vit.forward_features(model.normalize(images)).unflatten(1, grid_hw)

    return features
