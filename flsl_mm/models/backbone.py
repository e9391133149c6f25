"""Base class of backbones that give patch tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from flsl_mm.utils.mm import BaseModule

from .spec import SPEC_KEY, BackboneSpec


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


class PatchBackbone(BaseModule, ABC):
    """A vision transformer that returns the tokens of patches, after any of its blocks, for images of any size.

    Args:
        spec: What it is.
        out_indices: Blocks whose output is returned, 0-based, negative from the end.
        out_type: ``'featmap'`` returns (B, C, h, w), ``'tokens'`` returns (B, h * w, C).
        final_norm: Whether the output of the last block goes through the final norm.
        frozen_stages: -1 trains all, 0 freezes what precedes the blocks, n > 0 also the first n blocks (depth: also
            the norm).
        init_cfg: As of :func:`verified_init_cfg`.

    Attributes:
        spec: What it is, with the normalization of the images that it was trained on where a file said it.
        embed_dim: Width C.
        patch_size: Side in pixels of the part of an image that a token stands for.

    Raises:
        ValueError: On an unknown output type, no index, or one out of range.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        out_indices: Sequence[int],
        out_type: str,
        final_norm: bool,
        frozen_stages: int,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(verified_init_cfg(init_cfg))
        if out_type not in ('featmap', 'tokens'):
            raise ValueError(f"out_type must be 'featmap' or 'tokens', got {out_type!r}")
        depth = spec.depth
        if not out_indices:
            raise ValueError('out_indices is empty: name the blocks whose output is returned, (-1,) for the last')
        if any(not -depth <= index < depth for index in out_indices):
            raise ValueError(f'out_indices {tuple(out_indices)} out of range for {depth} blocks')
        self.spec = spec
        self.embed_dim = spec.embed_dim
        self.patch_size = spec.patch_size
        self.out_indices = tuple(index % depth for index in out_indices)
        self.out_type = out_type
        self.final_norm = final_norm
        self.frozen_stages = frozen_stages

    @abstractmethod
    def parts(self) -> tuple[Iterable[nn.Module | nn.Parameter], Sequence[nn.Module], nn.Module]:
        """Return what precedes the blocks, the blocks, and the final norm."""

    @abstractmethod
    def block_tokens(self, images: Tensor, out_indices: Sequence[int]) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Return the tokens after the given blocks, whatever ``out_indices`` and ``out_type`` of the backbone are.

        Args:
            images: Normalized images (B, in_channels, H, W), any H and W.
            out_indices: Blocks, 0-based.

        Returns:
            Tokens (B, h * w, C) for each block, and the grid (h, w).
        """

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the blocks in ``out_indices``.

        Args:
            images: Normalized images (B, in_channels, H, W), any H and W.

        Returns:
            One tensor per entry of ``out_indices``: (B, C, h, w) feature maps, or (B, h * w, C) tokens.
        """
        outputs, grid_hw = self.block_tokens(images, self.out_indices)
        if self.out_type == 'tokens':
            return outputs
        return tuple(tokens.transpose(1, 2).unflatten(2, grid_hw).contiguous() for tokens in outputs)

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Note the spec in the metadata beside the tensors: heads and position modes leave no trace in them."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, '_metadata'):
            destination._metadata[prefix[:-1]][SPEC_KEY] = self.spec.to_dict()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any) -> None:
        """Take over the normalization that a checkpoint noted in the same way, a detector's for one."""
        saved_spec = local_metadata.get(SPEC_KEY)
        saved_spec = BackboneSpec.from_dict(saved_spec) if isinstance(saved_spec, Mapping) else None
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        if saved_spec is not None:
            self.spec = self.spec.with_input_of(saved_spec)

    def _dump_init_info(self) -> None:
        """Log nothing where a backbone is initialized by itself; MMEngine would log each of its tensors."""

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        stem, blocks, norm = self.parts()
        frozen = [*stem, *blocks[: self.frozen_stages]]
        if self.frozen_stages >= len(blocks):
            frozen.append(norm)
        for part in frozen:
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()

    def _freeze_unread(self) -> None:
        # A trainable parameter that no output reads never gets a gradient, at which distributed training stops.
        _, blocks, norm = self.parts()
        unread = [*blocks[max(self.out_indices) + 1 :]]
        if not self.final_norm or len(blocks) - 1 not in self.out_indices:
            unread.append(norm)
        for module in unread:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> PatchBackbone:
        """Set the mode of all but the frozen stages, which stay in evaluation mode."""
        super().train(mode)
        self._freeze_stages()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Full parameter name.
            prefix: Prefix of the backbone in it, for example ``'backbone.'``.

        Returns:
            Depth of the parameter (0 before the blocks, block index + 1, last for the rest) and the number of depths.
        """
        last = self.spec.depth + 1
        if not param_name.startswith(prefix):
            return last, last + 1
        name = param_name.removeprefix(prefix).removeprefix('vit.')
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, last + 1
        return last if name.startswith(('norm.', 'fc_norm.')) else 0, last + 1
