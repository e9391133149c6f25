"""Scheduled values of FLSL's loss and teacher before each iteration, and the last layer frozen in the first epochs."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from flsl_mm.utils.mm import unwrap

from ..health import initial_share
from ..schedules import cosine, linear_by_epoch, scaled_momentum


def is_pretraining(model: nn.Module) -> bool:
    """Return whether a model, wrapped or not, is one of FLSL, whose values are scheduled."""
    return hasattr(unwrap(model), 'set_scheduled')


def effective_batch_size(runner: Runner) -> int:
    """Return the number of images behind one optimizer step: per process x processes x accumulated batches."""
    return runner.train_dataloader.batch_size * runner.world_size * accumulated_batches(runner)


def accumulated_batches(runner: Runner) -> int:
    """Return the number of batches whose gradients make one optimizer step."""
    return getattr(runner.optim_wrapper, '_accumulative_counts', 1)


@HOOKS.register_module()
class FLSLScheduleHook(Hook):
    """Sets temperatures, loss weights, mean-shift scales and the teacher's momentum before each iteration.

    Args:
        base_batch_size: Batch size that ``momentum`` is meant for; the momentum's start value is scaled to the run's
            effective batch size. ``None`` leaves it alone.
        **schedules: One schedule per value that the model's ``set_scheduled`` takes, in the model's units, either
            ``dict(type='cosine', start=..., end=...)``, per iteration over the whole run, or
            ``dict(type='linear', start=..., end=..., epochs=...)``, per epoch over the first ``epochs`` epochs.

    Raises:
        ValueError: If a schedule's type or keys are wrong.
    """

    KEYS = {'cosine': {'start', 'end'}, 'linear': {'start', 'end', 'epochs'}}

    def __init__(self, base_batch_size: int | None = None, **schedules: dict) -> None:
        self.base_batch_size = base_batch_size
        self.schedules = {}
        for name, schedule in schedules.items():
            options = dict(schedule)
            kind = options.pop('type', None)
            if kind not in self.KEYS or set(options) != self.KEYS[kind]:
                raise ValueError(
                    f"schedule of {name}: use dict(type='cosine', start, end) or "
                    f"dict(type='linear', start, end, epochs), got {dict(schedule)}"
                )
            self.schedules[name] = (kind, options)

    def before_train(self, runner: Runner) -> None:
        """Set the first values, which fails early on a name that the model cannot schedule; say what is scaled."""
        unwrap(runner.model).set_scheduled(**self.values(runner))
        batch = effective_batch_size(runner)
        if self.base_batch_size not in (None, batch) and 'momentum' in self.schedules:
            start = self.schedules['momentum'][1]['start']
            scaled = scaled_momentum(start, batch, self.base_batch_size)
            runner.logger.info(
                f'teacher momentum {start:g} is meant for a batch of {self.base_batch_size}: it starts at {scaled:.6g} '
                f'for the {batch} of this run (default_hooks.schedule.base_batch_size={batch} takes it as it is)'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set this iteration's values in the model and the log."""
        values = self.values(runner)
        unwrap(runner.model).set_scheduled(**values)
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/{name}', value)

    def values(self, runner: Runner) -> dict[str, float]:
        """Compute this iteration's values."""
        progress = runner.iter / runner.max_iters
        values = {}
        for name, (kind, options) in self.schedules.items():
            if name == 'momentum':
                options = dict(options, start=self.momentum_range(runner)[0])
            values[name] = cosine(progress, **options) if kind == 'cosine' else linear_by_epoch(runner.epoch, **options)
        return values

    def momentum_range(self, runner: Runner) -> tuple[float, float]:
        """Return the teacher's momentum at the start, scaled to the batch, and at the end."""
        options = self.schedules['momentum'][1]
        start = options['start']
        if self.base_batch_size:
            start = scaled_momentum(start, effective_batch_size(runner), self.base_batch_size)
        return start, options['end']


def teacher_initial_share(runner: Runner) -> float:
    """Return the share of its initial weights that the teacher will have at the end of a run, 0 to 1."""
    ends = [unwrap(runner.model).momentum] * 2
    for hook in runner.hooks:
        if isinstance(hook, FLSLScheduleHook) and 'momentum' in hook.schedules:
            ends = hook.momentum_range(runner)
    return initial_share(*ends, steps=runner.max_iters // accumulated_batches(runner))


@HOOKS.register_module()
class FLSLFreezeLastLayerHook(Hook):
    """Leaves the prototypes as they are in the first epochs by dropping their gradient before the optimizer's step.

    Args:
        epochs: Number of epochs.
    """

    def __init__(self, epochs: int = 1) -> None:
        self.epochs = epochs

    def before_train(self, runner: Runner) -> None:
        """Hang on the optimizer's step, so that gradients still take part in clipping and synchronization."""
        last_layer = unwrap(runner.model).head.last_layer

        def drop_gradients(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
            if runner.epoch < self.epochs:
                for parameter in last_layer.parameters():
                    parameter.grad = None

        runner.optim_wrapper.optimizer.register_step_pre_hook(drop_gradients)
