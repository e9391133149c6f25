"""Optimizer wrappers that clip each parameter's gradient by its own norm and skip steps on NaN or infinity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from flsl_mm.models.device import cpu_has_bfloat16

from .state import check_state


@torch.no_grad()
def clip_each(gradients: Sequence[Tensor], max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Scale every gradient whose own norm exceeds ``max_norm`` down to it, in place (DINO's and FLSL's clipping).

    Args:
        gradients: Gradients, one per parameter tensor.
        max_norm: Largest norm of each.
        norm_type: p of the p-norm, ``inf`` for the largest absolute value.

    Returns:
        Mean of the norms before clipping, a scalar tensor; no value is fetched from the device.
    """
    gradients = list(gradients)
    norms = torch.stack(torch._foreach_norm(gradients, float(norm_type)))
    factors = (max_norm / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, list(factors.unbind()))
    return norms.mean()


class _GuardedStep:
    """What our wrappers do at a step: clip each gradient by its own norm, and leave out a step on NaN or infinity.

    A step is left out where the loss of any process, or any gradient, is not finite: weights, optimizer state and
    teacher stay as they are. All processes decide alike, from the gradients that they share.
    ``clip_grad=dict(max_norm=3.0)``, with ``norm_type`` or not, switches clipping on;
    ``clip_grad=dict(type='value', clip_value=0.1)`` clips each number.

    Attributes:
        skipped_steps: Number of steps left out so far.
        skipped_in_a_row: Number of steps left out since the last one that was done.
        damaged: Parameters whose gradients were not finite in the last step, empty if it was done.
    """

    skipped_steps = 0
    skipped_in_a_row = 0
    damaged: Sequence[nn.Parameter] = ()

    def parameters(self) -> list[nn.Parameter]:
        """List the optimizer's parameters."""
        return [parameter for group in self.optimizer.param_groups for parameter in group['params']]

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Scale the loss for accumulated gradients; one that is not finite makes every gradient NaN.

        The sum over processes and accumulated batches then carries the news to every process, without a value being
        fetched from the device or a message of its own.
        """
        loss = super().scale_loss(loss)
        return loss * torch.where(loss.isfinite(), 1.0, torch.nan)

    def step(self, **kwargs) -> None:
        """Clip and step, or leave the step out."""
        finite = self._clip_grad()
        if finite:
            self.optimizer.step(**kwargs)
        self._count(finite)

    def _clip_grad(self) -> bool:
        """Clip, log the mean norm and tell whether all gradients are finite (the one value that a step fetches)."""
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        if not gradients:
            return True
        clipping = self.clip_grad_kwargs or {}
        mean_norm = float(clip_each(gradients, clipping.get('max_norm', math.inf), clipping.get('norm_type', 2.0)))
        if 'clip_value' in clipping:
            torch.nn.utils.clip_grad_value_(self.parameters(), clipping['clip_value'])
        if math.isfinite(mean_norm):
            self.message_hub.update_scalar('train/grad_norm', mean_norm)
        return math.isfinite(mean_norm)

    def _count(self, done: bool) -> None:
        self.skipped_steps += not done
        self.skipped_in_a_row = 0 if done else self.skipped_in_a_row + 1
        gradients = () if done else ((p, p.grad) for p in self.parameters() if p.grad is not None)
        self.damaged = [parameter for parameter, gradient in gradients if not gradient.isfinite().all()]

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Prepare accumulation as MMEngine does, without its warning of gradients lost: checkpoints hold them."""
        super().initialize_count_status(model, 0, max_counts)
        self._inner_count = init_counts

    def average_accumulated_gradients(self) -> None:
        """Average gradients that wait for a later step over the processes, before one process saves its own.

        DDP averages once more at the step, which changes nothing but rounding.
        """
        for parameter in self.parameters():
            if parameter.grad is not None:
                all_reduce(parameter.grad, op='mean')

    def state_dict(self) -> dict:
        """Return the optimizer's state, the counts of left-out steps and, between two steps, the gradients."""
        state = dict(super().state_dict(), skipped=[self.skipped_steps, self.skipped_in_a_row])
        gradients = [parameter.grad for parameter in self.parameters()]
        if any(gradient is not None for gradient in gradients):
            state['gradients'] = gradients
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state, also one of MMEngine's own wrappers.

        Raises:
            ValueError: If it is the state of other parameters, see :func:`~flsl_mm.engine.optim.state.check_state`.
        """
        check_state(state_dict, self.optimizer.param_groups)
        state_dict = dict(state_dict)
        self.skipped_steps, self.skipped_in_a_row = state_dict.pop('skipped', (0, 0))
        gradients = state_dict.pop('gradients', None)
        if not state_dict.get('loss_scaler', True):
            del state_dict['loss_scaler']  # of a run without an accelerator, which a float16 scaler would refuse
        super().load_state_dict(state_dict)
        if gradients is not None:
            for parameter, gradient in zip(self.parameters(), gradients, strict=True):
                parameter.grad = None if gradient is None else gradient.to(parameter.device, copy=True)


@OPTIM_WRAPPERS.register_module()
class FLSLOptimWrapper(_GuardedStep, OptimWrapper):
    """MMEngine's ``OptimWrapper`` with clipping per parameter tensor that leaves out steps on non-finite numbers.

    The arguments are the same.
    """


@OPTIM_WRAPPERS.register_module()
class FLSLAmpOptimWrapper(_GuardedStep, AmpOptimWrapper):
    """As :class:`FLSLOptimWrapper` for mixed precision; runs in float32 where no accelerator is, unless told.

    Args:
        dtype: ``'bfloat16'``, which needs no loss scaling, or ``'float16'``.
        loss_scale: As of ``AmpOptimWrapper``; used with ``'float16'`` only.
        cpu_dtype: What to compute in where no accelerator is: ``'float32'``, or ``'bfloat16'`` if the processor has
            instructions for it, which is about twice as fast (docs/benchmarks.md).
        **kwargs: As of ``OptimWrapper``.
    """

    def __init__(
        self,
        dtype: str = 'bfloat16',
        loss_scale: str | float | dict = 'dynamic',
        cpu_dtype: str = 'float32',
        **kwargs,
    ) -> None:
        if cpu_dtype not in ('float32', 'bfloat16'):
            raise ValueError(f"optim_wrapper.cpu_dtype must be 'float32' or 'bfloat16', got {cpu_dtype!r}")
        self.autocasts = get_device() != 'cpu'
        self.cpu_bfloat16 = not self.autocasts and cpu_dtype == 'bfloat16' and cpu_has_bfloat16()
        if self.autocasts:
            if dtype == 'bfloat16':
                loss_scale = dict(enabled=False)
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
        else:
            precision = 'bfloat16' if self.cpu_bfloat16 else 'float32, without mixed precision'
            print_log(f'no accelerator found: training in {precision}', logger='current')
            OptimWrapper.__init__(self, **kwargs)
            self._scale_update_param = None
            self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)

    def step(self, **kwargs) -> None:
        """Clip and step, or leave the step out; with float16, adapt the loss scale."""
        if not self.loss_scaler.is_enabled():
            super().step(**kwargs)
            return
        self.loss_scaler.unscale_(self.optimizer)
        finite = self._clip_grad()
        if finite:
            self.loss_scaler.step(self.optimizer, **kwargs)
        # A scaler overflows now and then to find the largest scale; at a scale of 1 it is not the scale's fault.
        blameless = finite or self.loss_scaler.get_scale() > 1
        self.loss_scaler.update(self._scale_update_param)
        self._count(blameless)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Enable autocasting where it is wanted, and skip gradient synchronization while gradients accumulate."""
        parent = super() if self.autocasts else super(AmpOptimWrapper, self)
        with parent.optim_context(model), torch.autocast('cpu', torch.bfloat16, enabled=self.cpu_bfloat16):
            yield
