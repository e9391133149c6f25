"""Loading a backbone so that it either has every weight of the file or raises, and describing it for files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from flsl_mm.mm import print_log
from flsl_mm.models.pos_embed import resize_pos_embed
from flsl_mm.version import __version__

from .files import CheckpointError, read_checkpoint
from .layouts import BACKBONE_FORMAT, Backbone, find_backbone, geometry, some

if TYPE_CHECKING:
    from flsl_mm.models.vit import FLSLViT


def load_backbone(
    backbone: FLSLViT, checkpoint: str | os.PathLike | Mapping, branch: str = 'teacher', source: str | None = None
) -> str:
    """Load every tensor of a backbone, or none and raise; say in one logged line what was loaded.

    Args:
        backbone: Receives the weights. A position table of another grid is resized in the backbone's own mode.
        checkpoint: File, or what :func:`read_checkpoint` returned.
        branch: ``'teacher'`` or ``'student'``, where the checkpoint has both.
        source: Name for messages; the path by default.

    Returns:
        The line.

    Raises:
        CheckpointError: If a tensor is missing, has another shape or has no place, or if the file says that heads,
            patch size or kind of positions are not the backbone's.
        FileNotFoundError: If there is no such file.
    """
    if not isinstance(checkpoint, Mapping):
        source = source or os.fspath(checkpoint)
        checkpoint = read_checkpoint(checkpoint)
    source = source or 'the checkpoint'
    try:
        found = find_backbone(checkpoint, branch)
        _check_facts(backbone, found)
        _check_tensors(backbone, found)
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from None
    positions = f'{found.grid}x{found.grid}'
    if (found.grid, found.grid) != backbone.grid_hw:
        positions += ' -> {}x{}'.format(*backbone.grid_hw)
        table = found.tensors['pos_embed'].float()
        found.tensors['pos_embed'] = resize_pos_embed(
            table, (found.grid, found.grid), backbone.grid_hw, backbone.pos_resize
        )
    backbone.load_state_dict(found.tensors)
    line = _report(backbone, found, source, positions)
    print_log(line, logger='current')
    return line


def _report(backbone: FLSLViT, found: Backbone, source: str, positions: str) -> str:
    count = len(backbone.state_dict())
    parts = [f'loaded {len(found.tensors)}/{count} backbone tensors from {source} ({found.layout})']
    if found.ignored:
        names = (f'{name} ({number})' if name.endswith('*') else name for name, number in found.ignored.items())
        parts.append(f'ignored {", ".join(names)}')
    parts.append(f'positions {positions}')
    if 'num_heads' not in found.facts:
        parts.append(f'heads not recorded in the file, {backbone.num_heads} as configured')
    resize = found.facts.get('pos_resize', backbone.pos_resize)
    if resize != backbone.pos_resize:
        parts.append(f'position resize {resize!r} in the file, {backbone.pos_resize!r} as configured')
    return '; '.join(parts)


def _check_facts(backbone: FLSLViT, found: Backbone) -> None:
    """Raise if the file's geometry, heads or kind of positions are not the backbone's."""
    in_file = {**geometry(found.tensors), **found.facts}
    configured = {
        **geometry(backbone.state_dict()),
        'num_heads': backbone.num_heads,
        'pos_embed': backbone.pos_embed_type,
    }
    differing = [key for key in configured if key in in_file and in_file[key] != configured[key]]
    if not differing:
        return
    details = ', '.join(
        f'{key} {in_file[key]!r} in the file and {configured[key]!r} in the config' for key in differing
    )
    advice = ''
    if 'pos_embed' in differing:
        advice = f'; set pos_embed={in_file["pos_embed"]!r} in the backbone to keep the positions of the file'
    raise CheckpointError(f'the file does not fit the configured backbone: {details}{advice}')


def _check_tensors(backbone: FLSLViT, found: Backbone) -> None:
    """Raise unless names and shapes are the backbone's, but for the number of positions."""
    wanted = backbone.state_dict()
    missing = [name for name in wanted if name not in found.tensors]
    if missing:
        raise CheckpointError(f'{len(missing)} of {len(wanted)} backbone tensors are missing: {some(missing)}')
    surplus = [name for name in found.tensors if name not in wanted]
    if surplus:
        raise CheckpointError(
            f'{len(surplus)} tensors have no place in FLSLViT, the file is of another architecture: {some(surplus)}'
        )
    misshapen = [
        f'{name} {tuple(found.tensors[name].shape)} instead of {tuple(tensor.shape)}'
        for name, tensor in wanted.items()
        if name != 'pos_embed' and found.tensors[name].shape != tensor.shape
    ]
    if misshapen or found.tensors['pos_embed'].shape[2] != backbone.embed_dim:
        misshapen = misshapen or [f'pos_embed {tuple(found.tensors["pos_embed"].shape)}']
        raise CheckpointError(f'{len(misshapen)} of {len(wanted)} backbone tensors are misshapen: {some(misshapen)}')


def check_whole(model: nn.Module, path: str | os.PathLike) -> None:
    """Make sure that a file holds every tensor of a model, as a checkpoint of its own training does.

    MMEngine leaves what a file lacks at its random initialisation, with a warning, and evaluates that.

    Args:
        model: Model, also wrapped for several processes.
        path: Checkpoint of a Runner.

    Raises:
        CheckpointError: If a tensor is missing or has another shape, or as :func:`read_checkpoint`.
    """
    content = read_checkpoint(path)
    given = {name.removeprefix('module.'): tensor for name, tensor in content.get('state_dict', content).items()}
    wanted = {name.removeprefix('module.'): tensor for name, tensor in model.state_dict().items()}
    missing = [name for name in wanted if getattr(given.get(name), 'shape', None) != wanted[name].shape]
    if missing:
        raise CheckpointError(
            f"{path} is no checkpoint of this config's training: {len(missing)} of {len(wanted)} tensors are missing "
            f'or of another shape, {missing[0]} for one (backbones go into model.backbone.init_cfg, for training)'
        )


def init_from_cfg(backbone: FLSLViT, init_cfg: Mapping | Sequence[Mapping] | None) -> bool:
    """Load what an MMEngine ``init_cfg`` names, if it is of type ``'Pretrained'``.

    Args:
        backbone: Receives the weights.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH, branch='teacher')``, ``branch`` optional, alone or in a
            list; other types are left to MMEngine.

    Returns:
        Whether weights were loaded.

    Raises:
        CheckpointError: As :func:`load_backbone`.
        ValueError: If the dict has other keys or is not the only one.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    pretrained = [cfg for cfg in cfgs if 'Pretrained' in str(cfg.get('type'))]
    if not pretrained:
        return False
    cfg = pretrained[0]
    unknown = set(cfg) - {'type', 'checkpoint', 'branch'}
    if len(cfgs) > 1 or unknown or not cfg.get('checkpoint'):
        raise ValueError(
            "the backbone's init_cfg is one dict(type='Pretrained', checkpoint=PATH[, branch='teacher'|'student']); "
            f'prefixes are found by themselves; got {init_cfg}'
        )
    load_backbone(backbone, cfg['checkpoint'], cfg.get('branch', 'teacher'))
    return True


def describe(backbone: FLSLViT) -> dict[str, Any]:
    """Give what a backbone's tensors do not tell, in plain types: architecture, patch, table and position modes."""
    return dict(
        arch=dict(backbone.arch),
        patch_size=backbone.patch_size,
        img_size=backbone.grid_hw[0] * backbone.patch_size,
        pos_embed=backbone.pos_embed_type,
        pos_resize=backbone.pos_resize,
    )


def backbone_file(backbone: FLSLViT, mean: Sequence[float] | None, std: Sequence[float] | None) -> dict[str, Any]:
    """Make the content of a backbone file: tensors under plain names, and all that is needed to use them.

    Args:
        backbone: For example the teacher's.
        mean: Mean of red, green and blue, for values 0 to 1, with which its images are normalised; ``None`` if unknown.
        std: Standard deviation of the same.

    Returns:
        ``dict(state_dict, meta)``, which loads with ``weights_only=True`` and no names allowed besides.
    """
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in backbone.state_dict().items()}
    return dict(state_dict=tensors, meta=backbone_meta(describe(backbone), mean, std))


def backbone_meta(
    description: Mapping[str, Any], mean: Sequence[float] | None, std: Sequence[float] | None
) -> dict[str, Any]:
    """Make the ``meta`` of a backbone file from :func:`describe`'s result; ``mean`` and ``std`` are for values 0 to 1.

    Raises:
        ValueError: If ``std`` is for values 0 to 255.
    """
    if std is not None and max(std) > 1:
        raise ValueError(f'mean and std are for pixel values 0 to 1, got std {list(std)}: divide both by 255')
    statistics = {
        name: None if values is None else [float(value) for value in values]
        for name, values in (('mean', mean), ('std', std))
    }
    return dict(format=BACKBONE_FORMAT, version=__version__, **description, **statistics)
