"""Any plain vision transformer of timm, with the interface of FLSLViT."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from flsl_mm.utils.mm import MODELS, print_log

from .backbone import PatchBackbone
from .pos_embed import resize_pos_embed
from .spec import MODES, BackboneSpec


@dataclass(frozen=True)
class TimmSpec(BackboneSpec):
    """What a backbone of timm is; the rest of a :class:`~flsl_mm.models.BackboneSpec` is read off the model.

    Attributes:
        model_name: timm's name.
        model_options: Other arguments of ``timm.create_model``, as sorted pairs.
    """

    model_name: str | None = None
    model_options: tuple[tuple[str, Any], ...] = ()


def create_vit(model_name: str, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    """Build a timm model that takes images of any size.

    Args:
        model_name: timm's name.
        pretrained: Whether timm may fetch its weights.
        options: Other arguments of ``timm.create_model``.

    Raises:
        ValueError: If timm knows no such model, or it is not a plain vision transformer for images of any size.
        OSError: If the weights cannot be fetched.
    """
    if not timm.is_model(model_name):
        similar = get_close_matches(model_name.partition('.')[0], timm.list_models(), 5)
        raise ValueError(
            f'timm {timm.__version__} has no model {model_name!r}{": " + ", ".join(similar) if similar else ""} '
            '(all: python -c "import timm; print(timm.list_models(\'vit*\', pretrained=True))")'
        )
    unfit = (
        f'timm model {model_name} is not a plain vision transformer for images of any size with maps of one stride, as '
        'those of DINO, DINOv2, DINOv3, MAE, DeiT, CLIP, SigLIP and EVA-02 are'
    )
    try:
        vit = timm.create_model(model_name, dynamic_img_size=True, **options)
    except TypeError as error:
        raise ValueError(f'{unfit} ({error})') from None
    strides = {level['reduction'] for level in getattr(vit, 'feature_info', [])}
    if len(strides) != 1 or not all(hasattr(vit, part) for part in ('blocks', 'patch_embed', 'forward_intermediates')):
        raise ValueError(unfit)
    if not pretrained:
        return vit
    print_log(f'timm fetches the weights of {model_name}, if it does not have them', 'current')
    # The hub warns of each of its twelve attempts.
    hub = logging.getLogger('huggingface_hub')
    level = hub.level
    hub.setLevel(logging.ERROR)
    try:
        return timm.create_model(model_name, pretrained=True, dynamic_img_size=True, **options)
    # timm's downloads end in errors of the network, of two hubs and of its own.
    except Exception as error:
        reason = ' '.join(str(error).split()).partition('. ')[0][:160]
        raise OSError(
            f'timm could not fetch the weights of {model_name} ({type(error).__name__}: {reason}): without a network, '
            'fetch the file elsewhere and give it as checkpoint'
        ) from None
    finally:
        hub.setLevel(level)


def filter_of(vit: nn.Module) -> Callable | None:
    """Return timm's translation of published files for a model: of its module, or None if that has none."""
    return getattr(sys.modules[type(vit).__module__], 'checkpoint_filter_fn', None)


def add_positions(vit: VisionTransformer, patches: Tensor) -> Tensor:
    """Add positions resized as DINO does, and put class and register tokens first: timm's ``_pos_embed`` otherwise.

    Args:
        vit: The model, with a position table.
        patches: Embedded patches (B, h, w, C).

    Returns:
        Tokens (B, prefix + h * w, C).
    """
    given = 0 if vit.no_embed_class else vit.num_prefix_tokens
    grid_hw = patches.shape[1:3]
    table = resize_pos_embed(vit.pos_embed[:, given:], vit.patch_embed.grid_size, grid_hw, 'offset')
    tokens = patches.flatten(1, 2) + table
    prefix = [token.expand(len(patches), -1, -1) for token in (vit.cls_token, vit.reg_token) if token is not None]
    if given:
        prefix = [torch.cat(prefix, dim=1) + vit.pos_embed[:, :given]]
    return vit.pos_drop(torch.cat([*prefix, tokens], dim=1))


def resize_like_dino(vit: nn.Module, model_name: str) -> None:
    """Let a timm model resize its position table as DINO does.

    Raises:
        ValueError: If the model has no table, or adds positions in its own way.
    """
    if getattr(type(vit), '_pos_embed', None) is not VisionTransformer._pos_embed or vit.pos_embed is None:
        raise ValueError(
            f"pos_resize='offset' is for timm models whose positions are one learned table, as DINO's: {model_name} "
            "has others, leave pos_resize='size'"
        )
    vit._pos_embed = partial(add_positions, vit)


@MODELS.register_module()
class TimmViT(PatchBackbone):
    """A plain vision transformer of timm (DINO, DINOv2, DINOv3, MAE, DeiT, CLIP, SigLIP, EVA-02) on patch tokens.

    The model is timm's own: class and register tokens take part in attention and are left out of the outputs, layer
    scale and rotary positions are what they are there. Images are padded with zeros on the right and bottom to whole
    patches. Heads and pooling are left out.

    Args:
        model_name: timm's name; its tag says which weights, and with which normalization they were trained, for
            example ``'vit_small_patch14_dinov2.lvd142m'``.
        model_options: Other arguments of ``timm.create_model``, for example ``dict(depth=6)``.
        stride: Pixels of an image for each patch; by default the patch size. Another one resizes images first: 16 with
            patches of 14 gives the maps of stride 16 that detectors and videos of 480 pixels need.
        out_indices: Blocks whose output is returned, 0-based, negative from the end.
        out_type: ``'featmap'`` returns (B, C, h, w), ``'tokens'`` returns (B, h * w, C).
        final_norm: Whether the output of the last block goes through the model's norm; where that follows pooling
            (EVA-02), it is used on each token, as in pretraining.
        pretrained: Whether timm may fetch its weights (from its cache, or from the network). Nothing else ever does.
        drop_path_rate: Stochastic depth rate of the last block; earlier blocks rise linearly from 0.
        with_cp: Recompute block activations in the backward pass to save memory.
        frozen_stages: As of :class:`~flsl_mm.models.backbone.PatchBackbone`.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``: timm's files (also safetensors) and the official ones
            that timm translates; verified, see :mod:`flsl_mm.checkpoint`.
        pos_resize: How learned positions follow images of other sizes: ``'size'`` as timm does, bicubic with
            antialiasing; ``'offset'`` as DINO's own programs do, without it and with an offset of 0.1, see
            :func:`~flsl_mm.models.pos_embed.resize_pos_embed`.

    Raises:
        ValueError: If timm has no such model, or it is not a plain vision transformer; if ``pos_resize`` is unknown or
            ``'offset'`` for a model without a position table; or as of the base class.
        OSError: If weights are to be fetched and cannot be.
    """

    def __init__(
        self,
        model_name: str,
        model_options: Mapping[str, Any] | None = None,
        stride: int | None = None,
        out_indices: Sequence[int] = (-1,),
        out_type: str = 'featmap',
        final_norm: bool = True,
        pretrained: bool = False,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | None = None,
        pos_resize: str = 'size',
    ) -> None:
        if pos_resize not in MODES['pos_resize']:
            raise ValueError(f"pos_resize must be 'offset' or 'size', got {pos_resize!r}")
        options = dict(model_options or {})
        vit = create_vit(model_name, pretrained, dict(options, drop_path_rate=drop_path_rate))
        if pos_resize == 'offset':
            resize_like_dino(vit, model_name)
        every_name = set(vit.state_dict())
        norm_name = 'fc_norm' if isinstance(vit.norm, nn.Identity) else 'norm'
        norm = getattr(vit, norm_name)
        vit.prune_intermediate_layers(len(vit.blocks), prune_head=True)
        setattr(vit, norm_name, norm)
        vit.set_grad_checkpointing(with_cp)
        patch_size = vit.feature_info[0]['reduction']
        spec = TimmSpec(
            embed_dim=vit.embed_dim,
            depth=len(vit.blocks),
            num_heads=vit.blocks[0].attn.num_heads,
            patch_size=stride or patch_size,
            img_size=vit.patch_embed.grid_size[0] * (stride or patch_size),
            in_channels=3,
            pos_resize=pos_resize,
            model_name=model_name,
            model_options=tuple(sorted(options.items())),
        )
        super().__init__(spec, out_indices, out_type, final_norm, frozen_stages, init_cfg)
        self.vit = vit
        # MMEngine's init_weights calls that of children, which would draw timm's weights anew over those of a file.
        self.vit.is_init = True
        self.vit_patch_size = patch_size
        self.norm_name = norm_name
        self.head_names = frozenset(every_name - set(vit.state_dict()))
        if pretrained:
            self.note_input()
        self._freeze_stages()
        self._freeze_unread()

    @classmethod
    def from_spec(cls, spec: TimmSpec, **options: Any) -> TimmViT:
        """Build the backbone that a spec describes; ``options`` are other arguments."""
        options.setdefault('pos_resize', spec.pos_resize)
        return cls(spec.model_name, dict(spec.model_options), stride=spec.patch_size, **options)

    @property
    def published_input(self) -> dict[str, tuple[float, ...]]:
        """Mean and std, for values 0 to 1, of the images that the weights of this name were trained on."""
        return {key: tuple(self.vit.pretrained_cfg[key]) for key in ('mean', 'std')}

    def note_input(self) -> None:
        """Note :attr:`published_input` in the spec: the weights of this name are loaded."""
        self.spec = replace(self.spec, **self.published_input)

    def parts(self) -> tuple[list, nn.Sequential, nn.Module]:
        """Return what precedes the blocks, the blocks, and the final norm."""
        norm = getattr(self.vit, self.norm_name)
        after = {id(parameter) for part in (self.vit.blocks, norm) for parameter in part.parameters()}
        stem = [parameter for parameter in self.vit.parameters() if id(parameter) not in after]
        return [self.vit.patch_embed, *stem], self.vit.blocks, norm

    def fit(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Pad images to whole strides and resize them to whole patches.

        Args:
            images: Normalized images (B, 3, H, W).

        Returns:
            Images (B, 3, h * p, w * p) of patches of p pixels, and the grid (h, w).
        """
        height, width = images.shape[-2:]
        pad = (0, -width % self.patch_size, 0, -height % self.patch_size)
        if any(pad):
            images = F.pad(images, pad)
        grid_hw = (images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size)
        if self.patch_size != self.vit_patch_size:
            size = [side * self.vit_patch_size for side in grid_hw]
            images = F.interpolate(images, size, mode='bicubic', antialias=True)
        return images, grid_hw

    def block_tokens(self, images: Tensor, out_indices: Sequence[int]) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Return the tokens after the given blocks, whatever ``out_indices`` and ``out_type`` of the backbone are.

        Args:
            images: Normalized images (B, 3, H, W), any H and W.
            out_indices: Blocks, 0-based.

        Returns:
            Tokens (B, h * w, C) for each block, and the grid (h, w) = (ceil(H / patch_size), ceil(W / patch_size)).
        """
        images, grid_hw = self.fit(images)
        wanted = sorted(set(out_indices))
        tokens = self.vit.forward_intermediates(
            images, indices=wanted, output_fmt='NLC', intermediates_only=True, stop_early=True
        )
        outputs = dict(zip(wanted, tokens, strict=True))
        last = self.spec.depth - 1
        if self.final_norm and last in outputs:
            outputs[last] = getattr(self.vit, self.norm_name)(outputs[last])
        return tuple(outputs[index] for index in out_indices), grid_hw
