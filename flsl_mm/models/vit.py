"""The FLSL backbone: timm's vision transformer without class token, for any image size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from flsl_mm.mm import MODELS, BaseModule

from .block import DropPathBlock
from .pos_embed import resize_pos_embed, sincos_pos_embed
from .spec import SPEC_KEY, BackboneSpec

SPEC_OPTIONS = ('patch_size', 'img_size', 'in_channels', 'pos_embed', 'pos_resize')
"""Fields of a spec, besides ``arch``, that are arguments of :class:`FLSLViT`."""


def verified_init_cfg(init_cfg: Mapping | Sequence[Mapping] | None) -> Any:
    """Have ``type='Pretrained'`` load all weights or raise, where MMEngine's own loader would warn and go on.

    Args:
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH, branch='teacher')``, ``branch`` optional, alone or in a
            list. Its type becomes the one that :mod:`flsl_mm.checkpoint` registers; other types stay as they are.

    Raises:
        ValueError: If the dict has other keys or is not the only one.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    pretrained = [cfg for cfg in cfgs if 'Pretrained' in str(cfg.get('type'))]
    if not pretrained:
        return init_cfg
    cfg = pretrained[0]
    if len(cfgs) > 1 or set(cfg) - {'type', 'checkpoint', 'branch'} or not cfg.get('checkpoint'):
        raise ValueError(
            "the backbone's init_cfg is one dict(type='Pretrained', checkpoint=PATH[, branch='teacher'|'student']); "
            f'prefixes are found by themselves; got {init_cfg}'
        )
    return {**cfg, 'type': 'FLSLPretrained'}


@MODELS.register_module()
class FLSLViT(BaseModule):
    """Vision transformer whose only tokens are patches (FLSL, arXiv 2306.06203, section 4.1).

    The blocks, the patch embedding and the weight initialisation are timm's; parameter names are timm's too
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
        pos_resize: ``'offset'`` (DINO's and FLSL's bicubic with 0.1 offset) or ``'size'`` (exact target size).
        drop_path_rate: Stochastic depth rate of the last block; earlier blocks rise linearly from 0.
        with_cp: Recompute block activations in the backward pass to save memory.
        frozen_stages: -1 trains all, 0 freezes the patch embedding, n > 0 also the first n blocks (depth: also norm).
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` loads verified weights, see :mod:`flsl_mm.checkpoint`.

    Raises:
        ValueError: On an unknown arch, output type or position mode, an index out of range, an ``img_size`` that is no
            multiple of ``patch_size``, or a width that the heads do not divide.
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
        pos_resize: str = 'offset',
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(verified_init_cfg(init_cfg))
        self.spec = BackboneSpec.from_arch(
            arch,
            patch_size=patch_size,
            img_size=img_size,
            in_channels=in_channels,
            pos_embed=pos_embed,
            pos_resize=pos_resize,
        )
        if out_type not in ('featmap', 'tokens'):
            raise ValueError(f"out_type must be 'featmap' or 'tokens', got {out_type!r}")
        depth = self.spec.depth
        if any(not -depth <= index < depth for index in out_indices):
            raise ValueError(f'out_indices {tuple(out_indices)} out of range for {depth} blocks')
        self.embed_dim = self.spec.embed_dim
        self.patch_size = patch_size
        self.out_indices = tuple(index % depth for index in out_indices)
        self.out_type = out_type
        self.final_norm = final_norm
        self.with_cp = with_cp
        self.frozen_stages = frozen_stages

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
            table = sincos_pos_embed(self.embed_dim, self.spec.grid_hw)
        self.pos_embed = nn.Parameter(table, requires_grad=learned)
        self._freeze_stages()
        self._freeze_unread()

    @classmethod
    def from_spec(cls, spec: BackboneSpec, **options: Any) -> FLSLViT:
        """Build the backbone that a spec describes, its fields all said; ``options`` are other arguments."""
        said = {name: getattr(spec, name) for name in SPEC_OPTIONS}
        return cls(arch=spec.arch, **said, **options)

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Note the spec in the metadata beside the tensors: heads and position modes leave no trace in them."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, '_metadata'):
            destination._metadata[prefix[:-1]][SPEC_KEY] = self.spec.to_dict()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any) -> None:
        """Take over the normalisation that a checkpoint noted in the same way, a detector's for one."""
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        said = local_metadata.get(SPEC_KEY)
        if isinstance(said, Mapping):
            said = BackboneSpec.from_dict(said)
            self.spec = replace(self.spec, mean=said.mean, std=said.std)

    def _dump_init_info(self) -> None:
        """Log nothing where a backbone is initialised by itself; MMEngine would log each of its tensors."""

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = [self.patch_embed, *self.blocks[: self.frozen_stages]]
        self.pos_embed.requires_grad_(False)
        if self.frozen_stages >= len(self.blocks):
            frozen.append(self.norm)
        for module in frozen:
            module.eval()
            module.requires_grad_(False)

    def _freeze_unread(self) -> None:
        # A trainable parameter that no output reads never gets a gradient, at which distributed training stops.
        unread = [*self.blocks[max(self.out_indices) + 1 :]]
        if not self.final_norm or len(self.blocks) - 1 not in self.out_indices:
            unread.append(self.norm)
        for module in unread:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> FLSLViT:
        """Set the mode of all but the frozen stages, which stay in evaluation mode."""
        super().train(mode)
        self._freeze_stages()
        return self

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Pad images to whole patches, embed the patches and add positions.

        Args:
            images: Normalised images (B, in_channels, H, W).

        Returns:
            Tokens (B, h * w, C) and the grid (h, w) = (ceil(H / patch_size), ceil(W / patch_size)).
        """
        height, width = images.shape[-2:]
        pad = (0, -width % self.patch_size, 0, -height % self.patch_size)
        if any(pad):
            images = F.pad(images, pad)
        grid_hw = (images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size)
        positions = resize_pos_embed(self.pos_embed, self.spec.grid_hw, grid_hw, self.spec.pos_resize)
        # The convolution puts channels before positions, an order that every later sum would keep and every norm undo.
        return (self.patch_embed(images) + positions).contiguous(), grid_hw

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the blocks in ``out_indices``.

        Args:
            images: Normalised images (B, in_channels, H, W), any H and W.

        Returns:
            One tensor per entry of ``out_indices``: (B, C, h, w) feature maps, or (B, h * w, C) tokens.
        """
        outputs, grid_hw = self.block_tokens(images, self.out_indices)
        if self.out_type == 'tokens':
            return outputs
        return tuple(tokens.transpose(1, 2).unflatten(2, grid_hw).contiguous() for tokens in outputs)

    def block_tokens(self, images: Tensor, out_indices: Sequence[int]) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Return the tokens after the given blocks, whatever ``out_indices`` and ``out_type`` of the backbone are.

        Args:
            images: Normalised images (B, in_channels, H, W), any H and W.
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

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Give the depth of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Full parameter name.
            prefix: Prefix of the backbone in it, for example ``'backbone.'``.

        Returns:
            Depth of the parameter (0 for the embedding, block index + 1, last for the rest) and the number of depths.
        """
        num_layers = len(self.blocks) + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        name = param_name[len(prefix) :]
        if name.startswith(('patch_embed', 'pos_embed')):
            return 0, num_layers
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, num_layers
        return num_layers - 1, num_layers
