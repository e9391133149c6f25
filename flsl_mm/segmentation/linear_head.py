"""The usual probe of frozen features: batch normalization and one linear layer on each patch."""

from __future__ import annotations

from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn


@MODELS.register_module()
class FLSLLinearHead(BaseDecodeHead):
    """Classifies every patch by a linear layer after batch normalization (DINOv2, arXiv 2304.07193, section 7.4).

    Logits are upsampled to the image bilinearly, by mmseg. Use it on ``out_indices=(-1,)`` with ``final_norm=True``
    of a backbone with ``frozen_stages`` at its depth.

    Args:
        in_channels: Width of the features.
        **options: Of mmseg's ``BaseDecodeHead``: ``num_classes``, ``in_index``, ``loss_decode``, ``dropout_ratio``.
    """

    def __init__(self, in_channels: int, **options) -> None:
        super().__init__(in_channels=in_channels, channels=in_channels, **options)
        self.norm = nn.BatchNorm2d(in_channels)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return logits (B, num_classes, h, w) of maps (B, C, h, w)."""
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))
