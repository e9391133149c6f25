"""Load whole models: every tensor must match, but for layers of another number of classes."""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from flsl_mm.models.spec import SPEC_KEY, BackboneSpec
from flsl_mm.utils.mm import MODELS, HistoryBuffer

from .files import CheckpointError, read_checkpoint
from .find import format_differences
from .integrity import misfit
from .layouts import mapping, plain_tensors

NUM_CLASSES = re.compile(r'num_(\w+_)?classes')
"""Entries of a model's config with a number of classes."""

MAX_ITERATIONS, MAX_LOG_KEYS = 10**8, 1000
"""Progress and logged numbers that a checkpoint may have; schedules are replayed and logs copied step by step."""


def check_strict(
    model: nn.Module,
    checkpoint: str | os.PathLike | Mapping,
    source: str = 'the checkpoint',
    optional: Sequence[str] = (),
    backbone_option: str = 'model.backbone.init_cfg',
    class_tensors: Callable[[], Mapping[str, Sequence[int]]] | None = None,
    training_starts: bool = True,
) -> list[str]:
    """Check that a file holds every tensor of a model and no other, as a checkpoint of its own training does.

    MMEngine leaves what a file lacks at its random initialization, with a warning, and continues with that.

    Args:
        model: Model, also wrapped for several processes.
        checkpoint: Checkpoint of a Runner: file, or what :func:`read_checkpoint` returned.
        source: What messages call a checkpoint that was read already.
        optional: Starts of the names of tensors that may be missing.
        backbone_option: Where configs name a backbone's file, for the message.
        class_tensors: Called where something does not fit; returns the tensors that may be those of another number of
            classes, with their dimensions that depend on it.
        training_starts: Whether they may be, since a training starts from the file; otherwise the message says so.

    Returns:
        Names of the tensors that are those of another number of classes.

    Raises:
        CheckpointError: If another tensor is missing, has another shape or type or no place, or is not finite as the
            model would keep it; if a backbone's heads are not those that the file notes; or as of
            :func:`read_checkpoint`.
    """
    if not isinstance(checkpoint, Mapping):
        source, checkpoint = os.fspath(checkpoint), read_checkpoint(checkpoint)
    state = mapping(checkpoint, 'state_dict') or checkpoint
    given, wanted = plain_tensors(state), plain_tensors(model.state_dict())
    unfit = {name: misfit(given[name], tensor) if name in given else 'missing' for name, tensor in wanted.items()}
    unfit = {
        name: problem
        for name, problem in unfit.items()
        if problem and (name in given or not name.startswith(tuple(optional)))
    }
    anew = []
    if unfit and class_tensors is not None:
        dims = class_tensors()
        anew = [name for name in unfit if name in given and _differs_in(given[name], wanted[name], dims.get(name, ()))]
    unfit = {name: problem for name, problem in unfit.items() if name not in anew}
    surplus = [name for name in given if name not in wanted]
    if anew and not (unfit or surplus or training_starts):
        raise CheckpointError(
            f'{source} is of another number of classes, in {_layers(anew)}: a new training can start from it, with '
            '--load-from; everything else needs the same classes'
        )
    if unfit:
        name, detail = next(iter(unfit.items()))
        number = f'{len(unfit)} of {len(wanted)} tensors'
        problem = f'{number} are missing or of another shape or type, {name} for one ({detail})'
    elif surplus:
        problem = f'{len(surplus)} of its {len(given)} tensors have no place in the model, {surplus[0]} for one'
    elif differing := _other_backbone(model, getattr(state, '_metadata', None)):
        problem = differing
    else:
        return anew
    raise CheckpointError(
        f"{source} is not a checkpoint of this config's training: {problem} (a backbone file goes into "
        f'{backbone_option}, for training)'
    )


def _differs_in(given: Tensor, wanted: Tensor, dims: Sequence[int]) -> bool:
    """Return whether two tensors differ in shape, and in no other dimensions than some."""
    if given.dim() != wanted.dim() or given.shape == wanted.shape or not given.is_floating_point():
        return False
    return all(dim in dims for dim in range(given.dim()) if given.shape[dim] != wanted.shape[dim])


def _other_backbone(model: nn.Module, metadata: Any) -> str:
    """Say where the file notes another backbone than the model has, heads for one, of which tensors tell nothing."""
    notes = {name.removeprefix('module.'): note for name, note in (metadata or {}).items()}
    for name, module in model.named_modules():
        if isinstance(spec := getattr(module, 'spec', None), BackboneSpec):
            try:
                said = BackboneSpec.from_dict(mapping(notes.get(name.removeprefix('module.')), SPEC_KEY))
            except ValueError as error:
                return str(error)
            differing = said.differences(replace(spec, img_size=None, pos_resize=None, mean=None, std=None))
            if differing:
                return f'{format_differences(differing, "file", "config")}, of {name or "the backbone"}'
    return ''


def class_tensors(model: nn.Module, config: Any) -> dict[str, list[int]]:
    """Find the tensors of a model whose shape depends on the number of classes: those that change with it.

    Args:
        model: The model.
        config: Its config, in which every number of classes is raised by one; the other model is built and thrown away.

    Returns:
        Dimensions that change, by name of the tensor; empty if there are none, or the other model cannot be built.
    """
    other = copy.deepcopy(config)
    if not _raise_classes(other):
        return {}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter('ignore')
        try:
            changed = plain_tensors(MODELS.build(other).state_dict())
        # Heads of other packages may check their settings against one another.
        except Exception:
            return {}
    shapes = {name: (tensor.shape, changed[name].shape) for name, tensor in _common(model, changed)}
    return {
        name: [dim for dim, (size, other_size) in enumerate(zip(shape, other_shape, strict=True)) if size != other_size]
        for name, (shape, other_shape) in shapes.items()
        if shape != other_shape and len(shape) == len(other_shape)
    }


def _common(model: nn.Module, others: Mapping[str, Tensor]) -> Iterable[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in plain_tensors(model.state_dict()).items() if name in others)


def _raise_classes(config: Any) -> int:
    """Raise every number of classes in nested dicts and lists by one, in place; return how many there are."""
    if isinstance(config, dict):
        numbers = [key for key, value in config.items() if NUM_CLASSES.fullmatch(str(key)) and type(value) is int]
        for key in numbers:
            config[key] += 1
        return len(numbers) + sum(map(_raise_classes, config.values()))
    return sum(map(_raise_classes, config)) if isinstance(config, (list, tuple)) else 0


def start_anew(model: nn.Module, state: dict[str, Any], names: Sequence[str]) -> str:
    """Put a model's own tensors into a state dict that is about to be loaded into it.

    Args:
        model: The model, initialized.
        state: State dict of a file, changed in place.
        names: Tensors of other classes, as of :func:`check_strict`.

    Returns:
        A line that says which layers start anew.
    """
    own = plain_tensors(model.state_dict())
    for name in [name for name in state if isinstance(name, str) and name.removeprefix('module.') in names]:
        state[name] = own[name.removeprefix('module.')]
    return f'the file has another number of classes: {_layers(names)} start anew, everything else is loaded'


def _layers(names: Sequence[str]) -> str:
    return ', '.join(dict.fromkeys(name.rpartition('.')[0] or name for name in names))


def check_optimizer(model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> None:
    """Check that the parameters of an optimizer are those of the model that computes the loss.

    Args:
        model: The model.
        groups: Parameter groups of the optimizer.

    Raises:
        CheckpointError: If one of them is not, so that training would change nothing.
    """
    known = {id(parameter) for parameter in model.parameters()}
    parameters = [parameter for group in groups for parameter in group['params']]
    strangers = sum(id(parameter) not in known for parameter in parameters)
    if strangers:
        raise CheckpointError(
            f"{strangers} of the optimizer's {len(parameters)} parameters are not the model's, which would not be "
            'trained: something replaced them after the optimizer was built'
        )


def _count(limit: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value <= limit


RESUMABLE = {
    'meta': lambda value: isinstance(value, dict),
    'state_dict': lambda value: isinstance(value, dict),
    'message_hub': lambda value: isinstance(value, dict),
    'optimizer': lambda value: isinstance(value, dict),
    'meta.epoch': _count(MAX_ITERATIONS),
    'meta.iter': _count(MAX_ITERATIONS),
    'message_hub.runtime_info': lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
    'message_hub.resumed_keys': lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
    'message_hub.log_scalars': lambda value: (
        isinstance(value, dict)
        and len(value) <= MAX_LOG_KEYS
        and all(isinstance(key, str) and isinstance(item, HistoryBuffer) for key, item in value.items())
    ),
}
"""What a checkpoint must have for a run to be continued, and how each is checked."""


def check_resumable(checkpoint: Mapping, source: str = 'the checkpoint') -> None:
    """Check the entries of a checkpoint from which a run is continued.

    Raises:
        CheckpointError: If one is missing, of another type or out of range.
    """
    for path, fits in RESUMABLE.items():
        value: Any = checkpoint
        for key in path.split('.'):
            if key not in value:
                raise CheckpointError(f'{source} has no {path}: no run can be continued from it')
            value = value[key]
        if not fits(value):
            raise CheckpointError(f'{source} has an unusable {path}: no run can be continued from it')
    meta, length = checkpoint['meta'], checkpoint['message_hub']['runtime_info'].get('epoch_length')
    problem = ''
    if meta.get('seed') is not None and not _count(2**32 - 1)(meta['seed']):
        problem = 'meta.seed'
    elif type(length) is int and not meta['epoch'] * length <= meta['iter'] <= (meta['epoch'] + 1) * length:
        problem = 'meta.iter'
    elif _negative_moments(checkpoint['optimizer']):
        problem = 'optimizer'
    if problem:
        raise CheckpointError(f'{source} has an unusable {problem}: no run can be continued from it')


def _negative_moments(optimizer: Mapping) -> bool:
    """Return whether means of squares, of which Adam takes the root, are below 0."""
    return any(
        isinstance(value := state.get(name), Tensor) and value.numel() and bool((value < 0).any())
        for state in mapping(optimizer, 'state').values()
        if isinstance(state, Mapping)
        for name in ('exp_avg_sq', 'max_exp_avg_sq')
    )
