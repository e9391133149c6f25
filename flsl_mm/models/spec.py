"""Description of a backbone, the same for configs, modules and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

ARCHS = {
    'tiny': dict(embed_dim=192, depth=12, num_heads=3),
    'small': dict(embed_dim=384, depth=12, num_heads=6),
    'base': dict(embed_dim=768, depth=12, num_heads=12),
}

ARCH_FIELDS = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
"""Fields of :class:`BackboneSpec` that an arch name or dict gives."""

MODES = dict(pos_embed=('sincos', 'learned'), pos_resize=('offset', 'size'))
"""Values of the fields that are a choice."""

SPEC_KEY = 'flsl_mm'
"""Entry that holds a backbone's spec in the version metadata which torch keeps beside the tensors of a model."""

MIN_STD = 1e-6
"""Least standard deviation of images that can be divided by it."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalization of FLSL's and DINO's training, RGB values 0 to 1."""


def default_num_heads(embed_dim: int) -> int | None:
    """Return the number of attention heads that ViTs of a width are published with, None for an unusual width."""
    return next((arch['num_heads'] for arch in ARCHS.values() if arch['embed_dim'] == embed_dim), None)


@dataclass(frozen=True)
class BackboneSpec:
    """Geometry, positions and input of a vision transformer on patch tokens; unknown fields are None.

    Attributes:
        embed_dim: Width C.
        depth: Number of blocks.
        num_heads: Number of attention heads, which leaves no trace in tensors.
        mlp_ratio: Hidden width of the MLPs in units of C.
        patch_size: Side of a patch in pixels.
        img_size: Side in pixels of the square image on whose grid the position table is built.
        in_channels: Number of channels of the images.
        pos_embed: ``'sincos'``, a fixed table, or ``'learned'``.
        pos_resize: ``'offset'`` or ``'size'``, see :func:`~flsl_mm.models.pos_embed.resize_pos_embed`.
        mean: Mean of red, green and blue, for values 0 to 1, with which images are normalized.
        std: Standard deviation of the same.
        value_range: Black and white of the images, where they had more than 8 bits and used a part of 16.
        pos_scale: Distance of neighbors on the sine-cosine plane, see
            :func:`~flsl_mm.models.pos_embed.sincos_pos_embed`.
    """

    embed_dim: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    mlp_ratio: float | None = None
    patch_size: int | None = None
    img_size: int | None = None
    in_channels: int | None = None
    pos_embed: str | None = None
    pos_resize: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    # Digests of models are of the others, and of the tensors.
    value_range: tuple[float, float] | None = field(default=None, repr=False)
    pos_scale: float | None = field(default=None, repr=False)

    @classmethod
    def from_arch(cls, arch: str | Mapping, **others: Any) -> BackboneSpec:
        """Make the spec of a backbone that is to be built.

        Args:
            arch: Name in :data:`ARCHS`, or a dict with the keys :data:`ARCH_FIELDS` (``mlp_ratio`` is 4 by default).
            **others: Other fields.

        Raises:
            ValueError: On an unknown name, key or mode, a width that the heads or a size that the patch do not divide.
        """
        if isinstance(arch, str) and arch not in ARCHS:
            raise ValueError(f'unknown arch {arch!r}: choose one of {sorted(ARCHS)} or give a dict')
        arch = {'mlp_ratio': 4.0, **(ARCHS[arch] if isinstance(arch, str) else arch)}
        if set(arch) != set(ARCH_FIELDS):
            wanted = sorted(ARCH_FIELDS)
            raise ValueError(f'an arch dict has the keys {wanted} (mlp_ratio optional), got {sorted(arch)}')
        spec = cls(**arch, **others)
        if spec.embed_dim % spec.num_heads:
            raise ValueError(f'embed_dim {spec.embed_dim} is not divisible by num_heads {spec.num_heads}')
        for name, modes in MODES.items():
            if name in others and others[name] not in modes:
                raise ValueError(f'{name} must be one of {modes}, got {others[name]!r}')
        if spec.pos_scale is not None and (not 0 <= spec.pos_scale < float('inf') or spec.pos_embed == 'learned'):
            raise ValueError(
                f'pos_scale is of the sine-cosine plane and 0 or more, got {spec.pos_scale} with {spec.pos_embed!r}'
            )
        if spec.img_size and spec.patch_size and spec.img_size % spec.patch_size:
            raise ValueError(f'img_size {spec.img_size} is not a multiple of patch_size {spec.patch_size}')
        return spec

    @classmethod
    def from_dict(cls, values: Mapping) -> BackboneSpec:
        """Read what :meth:`to_dict` wrote.

        Raises:
            ValueError: If a value is none that the field can have, or images cannot be normalized with mean and std.
        """
        arch = values.get('arch')
        flat = {**values, **arch} if isinstance(arch, Mapping) else values
        said = {each.name: flat[each.name] for each in fields(cls) if flat.get(each.name) is not None}
        for name, value in said.items():
            if _well_typed(name, value) is None:
                raise ValueError(f'the file says {name} {repr(value)[:40]}, which no backbone has')
        spec = cls(**{name: _well_typed(name, value) for name, value in said.items()})
        sizes = {len(values) for values in (spec.mean, spec.std) if values} | {spec.in_channels or len(spec.std or ())}
        if spec.std and (min(spec.std) < MIN_STD or len(sizes) > 1):
            raise ValueError(f'the file says mean {spec.mean} and std {spec.std}, which normalize no image')
        return spec

    def to_dict(self) -> dict[str, Any]:
        """Return the spec in plain types, as files keep it, the fields of an architecture under ``arch``.

        Raises:
            ValueError: If ``std`` is for values 0 to 255.
        """
        if self.std is not None and max(self.std) > 1:
            raise ValueError(f'mean and std are for pixel values 0 to 1, got std {list(self.std)}: divide both by 255')
        plain = {name: value for name, value in vars(self).items() if name not in ARCH_FIELDS}
        for name in ('mean', 'std', 'value_range'):
            plain[name] = plain[name] and [float(item) for item in plain[name]]
        for name in ('value_range', 'pos_scale'):  # as files of before these
            if plain[name] is None:
                del plain[name]
        return dict(arch=self.arch, **plain)

    @property
    def arch(self) -> dict[str, Any]:
        """Width, depth, heads and MLP ratio."""
        return {name: getattr(self, name) for name in ARCH_FIELDS}

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Grid (h, w) of the position table, in patches."""
        return (self.img_size // self.patch_size,) * 2

    def filled_from(self, other: BackboneSpec) -> BackboneSpec:
        """Take from another spec what this one does not say."""
        return replace(other, **{name: value for name, value in vars(self).items() if value is not None})

    def with_input_of(self, other: BackboneSpec | None) -> BackboneSpec:
        """Return this spec with what another says of the images' values; with None, nothing is said of them."""
        other = other or BackboneSpec()
        return replace(self, mean=other.mean, std=other.std, value_range=other.value_range)

    def differences(self, other: BackboneSpec) -> dict[str, tuple[Any, Any]]:
        """List where two specs disagree: both values by field, where both have one."""
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        differing = {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}
        # Tensors tell whole channels: a ratio of 2.667 and one of 512 / 192 build the same MLP.
        if 'mlp_ratio' in differing and abs(self.mlp_ratio - other.mlp_ratio) * (self.embed_dim or 1) < 1:
            del differing['mlp_ratio']
        return differing


def _well_typed(name: str, value: Any) -> Any:
    """Return a field's value in a file if it is one that the field can have, None otherwise."""
    if name == 'value_range':
        is_range = isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))
        return tuple(value) if is_range and value[0] < value[1] else None
    if name in ('mean', 'std'):
        numbers = isinstance(value, (list, tuple)) and value and all(map(_is_number, value))
        return tuple(value) if numbers else None
    if name == 'pos_scale':
        return value if _is_number(value) and value >= 0 else None
    if name in MODES:
        return value if isinstance(value, str) and value in MODES[name] else None
    whole = isinstance(value, int) or name == 'mlp_ratio'
    return value if whole and _is_number(value) and value > 0 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**31
