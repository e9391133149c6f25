"""Detectors of the configs, made narrow."""

from __future__ import annotations

from mmengine.config import Config

from flsl_mm.models import BackboneSpec


def narrow(cfg: Config) -> None:
    """Set backbone and pyramid of a config to 24 channels; depth and chosen blocks stay, so that they have to fit."""
    arch = BackboneSpec.from_arch(cfg.model.backbone.arch).arch
    cfg.model.backbone.arch = dict(embed_dim=24, depth=arch['depth'], num_heads=3)
    cfg.model.neck[0].in_channels = 24
    cfg.model.neck[1].in_channels = [24] * 4
