"""The FLSL backbone: timm's vision transformer without class token, for any image size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from flsl_mm.utils.mm import MODELS

from .backbone import PatchBackbone
from .block import DropPathBlock
from .device import to_device
from .pos_embed import resize_pos_embed, sincos_pos_embed
from .position_jitter import PositionJitter, window_pos_embed
from .spec import BackboneSpec

SPEC_OPTIONS = ('patch_size', 'img_size', 'in_channels', 'pos_embed', 'pos_scale', 'pos_resize')
"""Fields of a spec, besides ``arch``, that are arguments of :class:`FLSLViT`."""


@MODELS.register_module()
class FLSLViT(PatchBackbone):
    """Vision transformer whose only tokens are patches (FLSL, arXiv 2306.06203, section 4.1).

    The blocks, the patch embedding and the weight initialization are timm's; parameter names are timm's too
    (``patch_embed.proj``, ``blocks.0.attn.qkv``, ``norm``). Images of any height and width are padded with zeros on the
    right and bottom to a multiple of the patch size, and positions are resized to the padded grid.

    Args:
        arch: ``'tiny'`` (192 channels, 3 heads), ``'small'`` (384, 6), ``'base'`` (768, 12), all 12 blocks deep, or a
            dict with ``embed_dim``, ``depth``, ``num_heads`` and optionally ``mlp_ratio``.
        patch_size: Side of a patch in pixels.
        img_size: Side in pixels of the square image on whose grid the position table is built: at 224, a table of
            14x14 at patch size 16 and of 28x28 at patch size 8.
        in_channels: Number of input channels.
        out_indices: Blocks whose output is returned, 0-based, negative from the end.
        out_type: ``'featmap'`` returns (B, C, h, w), ``'tokens'`` returns (B, h * w, C); h, w is the padded grid.
        final_norm: Whether the output of the last block goes through the final LayerNorm.
        pos_embed: ``'sincos'``, a fixed table, or ``'learned'``.
        pos_scale: Ours: distance of neighbors on the sine-cosine plane, 1 by default. With less, features know less of
            where a patch lies; with 0 nothing. For networks trained with ``position_jitter``, which does not ask it.
        pos_resize: ``'offset'`` (DINO's and FLSL's bicubic with 0.1 offset) or ``'size'`` (exact target size).
        position_jitter: Ours, ``dict(range=24, zoom=1.5)`` for example: while training, each image takes its positions
            from a random window of the sine-cosine plane, see
            :class:`~flsl_mm.models.position_jitter.PositionJitter`. ``None`` takes them from the fixed table (paper),
            as evaluation always does.
        drop_path_rate: Stochastic depth rate of the last block; earlier blocks rise linearly from 0.
        with_cp: Recompute block activations in the backward pass to save memory.
        frozen_stages: -1 trains all, 0 freezes the patch embedding, n > 0 also the first n blocks (depth: also norm).
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` loads verified weights, see :mod:`flsl_mm.checkpoint`.

    Raises:
        ValueError: On an unknown arch, output type or position mode, an index out of range, an ``img_size`` that is no
            multiple of ``patch_size``, a width that the heads do not divide, or jitter of learned positions.
    """

    def __init__(
        self,
        arch: str | dict = 'small',
        patch_size: int = 16,
        img_size: int = 224,
        in_channels: int = 3,
        out_indices: Sequence[int] = (-1,),
        out_type: str = 'featmap',
        final_norm: bool = True,
        pos_embed: str = 'sincos',
        pos_scale: float | None = None,
        pos_resize: str = 'offset',
        position_jitter: Mapping[str, float] | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | None = None,
    ) -> None:
        spec = BackboneSpec.from_arch(
            arch,
            patch_size=patch_size,
            img_size=img_size,
            in_channels=in_channels,
            pos_embed=pos_embed,
            pos_scale=1.0 if pos_scale is None and pos_embed == 'sincos' else pos_scale,
            pos_resize=pos_resize,
        )
        super().__init__(spec, out_indices, out_type, final_norm, frozen_stages, init_cfg)
        if position_jitter is not None and pos_embed == 'learned':
            raise ValueError(
                'position_jitter draws windows of the sine-cosine plane, which a learned table has not: set '
                "pos_embed='sincos', or leave position_jitter out"
            )
        self.with_cp = with_cp
        self.position_jitter = None if position_jitter is None else PositionJitter(**position_jitter)
        self.jitters_in_evaluation = False

        vit = VisionTransformer(
            **self.spec.arch,
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_channels,
            num_classes=0,
            global_pool='',
            class_token=False,
            pos_embed='none',
            drop_path_rate=drop_path_rate,
            block_fn=DropPathBlock,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
        self.patch_embed = vit.patch_embed
        self.patch_embed.strict_img_size = False
        self.blocks = vit.blocks
        self.norm = vit.norm
        learned = pos_embed == 'learned'
        if learned:
            table = nn.init.trunc_normal_(torch.empty(1, self.patch_embed.num_patches, self.embed_dim), std=0.02)
        else:
            table = sincos_pos_embed(self.embed_dim, self.spec.grid_hw, self.spec.pos_scale)
        self.pos_embed = nn.Parameter(table, requires_grad=learned)
        self._freeze_stages()
        self._freeze_unread()

    @classmethod
    def from_spec(cls, spec: BackboneSpec, **options: Any) -> FLSLViT:
        """Build the backbone that a spec describes, its fields all said; ``options`` are other arguments."""
        spec_options = {name: getattr(spec, name) for name in SPEC_OPTIONS}
        return cls(arch=spec.arch, **spec_options, **options)

    def parts(self) -> tuple[list, nn.Sequential, nn.Module]:
        """Return what precedes the blocks, the blocks, and the final norm."""
        return [self.patch_embed, self.pos_embed], self.blocks, self.norm

    def positions(self, batch_size: int, grid_hw: tuple[int, int]) -> Tensor:
        """Return positions (1, h * w, C) of the fixed table or, where they are jittered, (B, h * w, C)."""
        if self.position_jitter is None or not (self.training or self.jitters_in_evaluation):
            return resize_pos_embed(self.pos_embed, self.spec.grid_hw, grid_hw, self.spec.pos_resize)
        windows = to_device(self.position_jitter.draw(batch_size), self.pos_embed.device)
        return window_pos_embed(windows, self.embed_dim, grid_hw)

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Pad images to whole patches, embed the patches and add positions.

        Args:
            images: Normalized images (B, in_channels, H, W).

        Returns:
            Tokens (B, h * w, C) and the grid (h, w) = (ceil(H / patch_size), ceil(W / patch_size)).
        """
        height, width = images.shape[-2:]
        if torch.jit.is_tracing():  # which gives tensors; a trace is of one size anyway
            height, width = int(height), int(width)
        pad = (0, -width % self.patch_size, 0, -height % self.patch_size)
        if any(pad):
            images = F.pad(images, pad)
        grid_hw = (-(-height // self.patch_size), -(-width // self.patch_size))
        positions = self.positions(len(images), grid_hw)
        # The convolution puts channels before positions, an order that every later sum would keep and every norm undo.
        return (self.patch_embed(images) + positions).contiguous(), grid_hw

    def block_tokens(self, images: Tensor, out_indices: Sequence[int]) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Return the tokens after the given blocks, whatever ``out_indices`` and ``out_type`` of the backbone are.

        Args:
            images: Normalized images (B, in_channels, H, W), any H and W.
            out_indices: Blocks, 0-based.

        Returns:
            Tokens (B, h * w, C) for each block, and the grid (h, w).
        """
        tokens, grid_hw = self.embed(images)
        outputs = {}
        for index, block in enumerate(self.blocks[: max(out_indices) + 1]):
            if self.with_cp and tokens.requires_grad:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
            if index in out_indices:
                outputs[index] = tokens
        last = len(self.blocks) - 1
        if self.final_norm and last in outputs:
            outputs[last] = self.norm(outputs[last])
        return tuple(outputs[index] for index in out_indices), grid_hw
