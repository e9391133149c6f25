"""Resuming: follow the learning rate, weight decay and schedules of the config where the checkpoint has others."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

PROGRESS = ('last_step', '_global_step', '_last_value', 'verbose')
"""Attributes of a parameter schedule that tell where it is; the others tell what it is."""


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
