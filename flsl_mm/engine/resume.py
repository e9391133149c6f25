"""Resuming: find the newest checkpoint that can be read, and follow the schedules of the config."""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from flsl_mm.checkpoint import check_resumable, read_checkpoint

PROGRESS = ('last_step', '_global_step', '_last_value', 'verbose')
"""Attributes of a parameter schedule that tell where it is; the others tell what it is."""

PREEMPTED = re.compile(r'preempted_iter_\d{1,15}\.pth')
"""Names of the checkpoints that are written on SIGTERM."""


def iterations_done(checkpoint: Path, epoch_length: int) -> int | None:
    """Infer from a checkpoint's name after how many iterations it was written.

    Returns:
        The number for ``epoch_N.pth``, ``iter_N.pth`` and ``preempted_iter_N.pth``, ``None`` for other names.
    """
    match = re.fullmatch(r'(epoch|iter|preempted_iter)_(\d{1,15})\.pth', checkpoint.name)
    return match and int(match[2]) * (epoch_length if match[1] == 'epoch' else 1)


def newest_first(folder: Path, epoch_length: int) -> list[Path]:
    """List the training checkpoints of a run.

    Args:
        folder: The run's folder.
        epoch_length: Iterations of an epoch.

    Returns:
        Files with names as of :func:`iterations_done`, those that were written later first; at the end, a file of
        another name in the same folder to which ``last_checkpoint`` points.
    """
    known = [path for path in folder.glob('*.pth') if iterations_done(path, epoch_length) is not None]
    known.sort(key=lambda path: iterations_done(path, epoch_length), reverse=True)
    named = last_checkpoint_path(folder)
    # In a copied folder it names a file of the original.
    inside = named and folder / named.name
    if inside and is_file(inside) and inside not in known:
        known.append(inside)
    return known


def last_checkpoint_path(folder: Path) -> Path | None:
    """Read ``last_checkpoint``; ``None`` if there is none, or if it holds no path."""
    pointer = folder / 'last_checkpoint'
    if not pointer.is_file():
        return None
    with pointer.open('rb') as file:
        name = os.fsdecode(file.read(10_000).strip())
    return Path(name) if name and name.isprintable() and Path(name).name else None


def readable(checkpoints: list[Path], warn: Callable[[str], None]) -> Iterator[tuple[Path, dict]]:
    """Yield the checkpoints that can be continued from, with their contents, and warn of each other in a line."""
    for path in checkpoints:
        try:
            content = read_checkpoint(path)
            check_resumable(content, str(path))
        except (ValueError, OSError) as error:
            warn(f'passed over a checkpoint: {error}')
        else:
            yield path, content


def find_resumable(folder: Path, epoch_length: int, warn: Callable[[str], None]) -> Path | None:
    """Find the newest checkpoint of a run that can be continued from.

    Neither a pointer file that is missing, empty or stale nor a damaged newest checkpoint keeps it from being found.

    Args:
        folder: The run's folder.
        epoch_length: Iterations of an epoch.
        warn: Takes a line for each newer checkpoint that was passed over.

    Returns:
        The checkpoint, or ``None`` where there is none at all.

    Raises:
        ValueError: If there are checkpoints and none of them can be read, or if ``last_checkpoint`` names one elsewhere
            and there is none here.
    """
    checkpoints = newest_first(folder, epoch_length)
    for path, _ in readable(checkpoints, warn):
        return path
    if checkpoints:
        raise ValueError(
            f'none of the {len(checkpoints)} checkpoints in {folder} can be read: move them away to start over'
        )
    elsewhere = last_checkpoint_path(folder)
    if elsewhere is not None and is_file(elsewhere):
        raise ValueError(
            f'there is no checkpoint in {folder}, and its last_checkpoint names {elsewhere}: continue from there with '
            '--resume PATH, or remove last_checkpoint to start over'
        )
    return None


def is_file(path: Path) -> bool:
    """Return whether there is a file of a name that may be too long for one."""
    try:
        return path.is_file()
    except OSError:
        return False


def preempted_names(names: Any) -> list[str]:
    """Keep what a run may remove of the names that a checkpoint holds, which can be anything.

    Returns:
        Names of checkpoints that SIGTERM had a run write, without folders.
    """
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and PREEMPTED.fullmatch(name)]


class Schedules:
    """Optimizer options and parameter schedules as a config has them, noted before resuming overwrites them.

    MMEngine's resuming restores all of them from the checkpoint, so that a lower learning rate or more epochs in the
    config would change nothing.
    """

    def __init__(self, groups: Sequence[Mapping], schedulers: Sequence) -> None:
        self.groups = [options(group) for group in groups]
        self.schedules = [copy.deepcopy(scheduler.state_dict()) for scheduler in schedulers]

    @classmethod
    def of(cls, runner: Runner) -> Schedules | None:
        """Note those of a Runner; None where it has several optimizers or none, or schedules by validation results."""
        schedulers = runner.param_schedulers or []
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return None
        if any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
            return None
        return cls(runner.optim_wrapper.optimizer.param_groups, schedulers)

    def follow(self, runner: Runner) -> None:
        """Have a resumed run follow these where they differ from its checkpoint's, and say in a line what changed.

        Where they do not differ, nothing is touched; else they are replayed up to the resumed iteration.
        """
        groups, schedulers = runner.optim_wrapper.optimizer.param_groups, runner.param_schedulers or []
        resumed = [copy.deepcopy(scheduler.state_dict()) for scheduler in schedulers]
        changes = list(changed_groups(groups, self.groups)) + list(changed_schedules(resumed, self.schedules))
        if not changes:
            return
        for group, configured in zip(groups, self.groups, strict=True):
            group.update(configured)
        for scheduler, configured in zip(schedulers, self.schedules, strict=True):
            vars(scheduler).update(copy.deepcopy(configured))
        steps = [state['_global_step'] for state in resumed]
        replay(schedulers, steps, runner.iter, len(runner.train_dataloader))
        rate = max(group['lr'] for group in groups)
        runner.logger.warning(
            f'resumed with the schedules of the config, not of the checkpoint: {", ".join(dict.fromkeys(changes))}; '
            f'the learning rate is now {rate:.3g}'
        )


def options(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an optimizer's parameter group."""
    return {name: value for name, value in group.items() if name != 'params'}


def changed_groups(resumed: Sequence[Mapping], configured: Sequence[Mapping]) -> Iterator[str]:
    """Describe which options of parameter groups differ, each at its value before any schedule."""
    for one, other in zip(resumed, configured, strict=True):
        for name in other:
            if not name.startswith('initial_') and isinstance(other[name], int | float | tuple | list):
                old, new = (group.get(f'initial_{name}', group.get(name)) for group in (one, other))
                if (list(old) if isinstance(old, tuple) else old) != (list(new) if isinstance(new, tuple) else new):
                    yield f'{name} {old} -> {new}'


def changed_schedules(resumed: Sequence[Mapping], configured: Sequence[Mapping]) -> Iterator[str]:
    """Describe which settings of schedules differ; base values are those of the parameter groups."""
    for one, other in zip(resumed, configured, strict=True):
        for name in other:
            if name not in (*PROGRESS, 'base_values') and one.get(name) != other[name]:
                yield f'{other.get("param_name", "schedule")} schedule {name} {one.get(name)} -> {other[name]}'


def replay(schedulers: Sequence, steps: Sequence[int], iterations: int, epoch_length: int) -> None:
    """Step schedules that are at their beginning as a run does, those by iteration before those by epoch.

    Args:
        schedulers: The schedules.
        steps: How often each was stepped; 0 stands for a schedule that the checkpoint did not have.
        iterations: Number of iterations that are done.
        epoch_length: Iterations of an epoch.
    """
    left = {id(scheduler): count or iterations for scheduler, count in zip(schedulers, steps, strict=True)}
    ordered = sorted(schedulers, key=lambda scheduler: scheduler.by_epoch)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # they miss the steps of the optimizer
        for iteration in range(1, iterations + 1):
            for scheduler in ordered:
                if left[id(scheduler)] and (not scheduler.by_epoch or iteration % epoch_length == 0):
                    left[id(scheduler)] -= 1
                    scheduler.step()
