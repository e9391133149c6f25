"""Neck that turns a ViT's feature maps of one stride into a pyramid, usually of strides 4, 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, distributed, nn

from flsl_mm.utils.mm import MODELS, BaseModule

NORMS = {'BN': nn.BatchNorm2d, 'SyncBN': nn.SyncBatchNorm}


def resolve_norm(norm: str) -> type[nn.Module]:
    """Return the normalization layer class of a name.

    Args:
        norm: ``'BN'``, ``'SyncBN'``, or ``'auto'``: SyncBN among several NCCL processes and BN everywhere else, since
            torch's SyncBN runs on accelerators only.

    Raises:
        ValueError: If the name is unknown.
    """
    if norm == 'auto':
        several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        norm = 'SyncBN' if several and 'nccl' in distributed.get_backend() else 'BN'
    if norm not in NORMS:
        raise ValueError(f"norm must be 'auto', 'BN' or 'SyncBN', got {norm!r}")
    return NORMS[norm]


def resample(channels: int, patch_size: int, stride: int, norm: type[nn.Module]) -> nn.Module:
    """Build the layers that bring a map of stride ``patch_size`` to ``stride``.

    Args:
        channels: Channels of the map, kept.
        patch_size: Image pixels per pixel of the map.
        stride: Wanted image pixels per pixel.
        norm: Normalization layer class of the fourfold upsampling.

    Returns:
        Fourfold: deconvolution, norm, GELU, deconvolution. Twofold: deconvolution. Coarser: maximum pooling, its sizes
        rounded up, so that the maps cover the whole image at every image size.

    Raises:
        ValueError: If ``stride`` is neither a quarter or half of ``patch_size`` nor a multiple of it.
    """
    deconvolution = dict(in_channels=channels, out_channels=channels, kernel_size=2, stride=2)
    if stride * 4 == patch_size:
        return nn.Sequential(
            nn.ConvTranspose2d(**deconvolution), norm(channels), nn.GELU(), nn.ConvTranspose2d(**deconvolution)
        )
    if stride * 2 == patch_size:
        return nn.ConvTranspose2d(**deconvolution)
    if stride == patch_size:
        return nn.Identity()
    if stride % patch_size == 0:
        return nn.MaxPool2d(kernel_size=stride // patch_size, ceil_mode=True)
    raise ValueError(
        f'maps of patch size {patch_size} cannot be brought to stride {stride}: it must be a quarter, a half or a '
        'multiple of the patch size'
    )


@MODELS.register_module()
class FLSLViTPyramid(BaseModule):
    """Resamples ViT maps of one stride to a pyramid (FLSL's and BEiT's detectors); list it before ``FPN``.

    Patch size 16: 4x and 2x deconvolution, identity, 2x maximum pooling. Patch size 8: 2x deconvolution, identity, 2x
    and 4x maximum pooling.

    Args:
        in_channels: Channels of the maps, one number for all or one for each stride.
        patch_size: Stride of the maps.
        strides: Strides of the pyramid, one per map; the backbone has as many ``out_indices``. Leave out 4 for
            detectors that start at stride 8: a map without a reader would stop distributed training.
        norm: Normalization within the 4x upsampling: ``'auto'``, ``'BN'`` or ``'SyncBN'``, see :func:`resolve_norm`.
        init_cfg: As of MMEngine's ``BaseModule``.

    Raises:
        ValueError: If there is no stride, or one that does not follow from the patch size, the channels are not one per
            stride, or the norm is unknown.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        patch_size: int = 16,
        strides: Sequence[int] = (4, 8, 16, 32),
        norm: str = 'auto',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not len(strides):
            raise ValueError('strides is empty: name one for each of the out_indices of the backbone')
        channels = [in_channels] * len(strides) if isinstance(in_channels, int) else list(in_channels)
        if len(channels) != len(strides):
            raise ValueError(f'the pyramid takes one map per stride {tuple(strides)}, got in_channels {channels}')
        self.strides = tuple(strides)
        norm_layer = resolve_norm(norm)
        self.levels = nn.ModuleList(
            resample(width, patch_size, stride, norm_layer) for width, stride in zip(channels, strides, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Resample the maps.

        Args:
            maps: One map (B, C_i, h, w) of stride ``patch_size`` per stride.

        Returns:
            Maps (B, C_i, h_i, w_i) of the strides.

        Raises:
            ValueError: If there is not one map per stride.
        """
        if len(maps) != len(self.levels):
            raise ValueError(
                f'the pyramid takes {len(self.levels)} maps, one per stride {self.strides}, got {len(maps)}: give the '
                f'backbone {len(self.levels)} out_indices'
            )
        return tuple(level(features) for level, features in zip(self.levels, maps, strict=True))
