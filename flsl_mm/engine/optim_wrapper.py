"""Optimiser wrappers that clip each parameter's gradient by its own norm."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn


@torch.no_grad()
def clip_each(gradients: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale every gradient whose own 2-norm exceeds ``max_norm`` down to it, in place (DINO's and FLSL's clipping).

    Args:
        gradients: Gradients, one per parameter tensor.
        max_norm: Largest norm of each.

    Returns:
        Mean of the norms before clipping, a scalar tensor; no value is fetched from the device.
    """
    gradients = list(gradients)
    norms = torch.stack(torch._foreach_norm(gradients))
    factors = (max_norm / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, list(factors.unbind()))
    return norms.mean()


class _ClipEach:
    """Replaces the global-norm clipping of MMEngine's wrappers; ``clip_grad=dict(max_norm=3.0)`` switches it on."""

    def _clip_grad(self) -> None:
        params = [param for group in self.optimizer.param_groups for param in group['params']]
        gradients = [param.grad for param in params if param.grad is not None]
        if gradients:
            mean_norm = clip_each(gradients, self.clip_grad_kwargs['max_norm'])
            self.message_hub.update_scalar('train/grad_norm', float(mean_norm))


@OPTIM_WRAPPERS.register_module()
class FLSLOptimWrapper(_ClipEach, OptimWrapper):
    """MMEngine's ``OptimWrapper`` with clipping per parameter tensor; arguments are the same."""


@OPTIM_WRAPPERS.register_module()
class FLSLAmpOptimWrapper(_ClipEach, AmpOptimWrapper):
    """MMEngine's ``AmpOptimWrapper`` with clipping per parameter tensor; runs in float32 where no accelerator is.

    Args:
        dtype: ``'bfloat16'``, which needs no loss scaling, or ``'float16'``.
        loss_scale: As of ``AmpOptimWrapper``; used with ``'float16'`` only.
        **kwargs: As of ``OptimWrapper``.
    """

    def __init__(self, dtype: str = 'bfloat16', loss_scale: str | float | dict = 'dynamic', **kwargs) -> None:
        self.autocasts = get_device() != 'cpu'
        if self.autocasts:
            if dtype == 'bfloat16':
                loss_scale = dict(enabled=False)
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
        else:
            print_log('no accelerator found: training in float32, without mixed precision', logger='current')
            OptimWrapper.__init__(self, **kwargs)
            self._scale_update_param = None
            self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Enable autocasting on an accelerator, and skip gradient synchronisation while gradients accumulate."""
        parent = super() if self.autocasts else super(AmpOptimWrapper, self)
        with parent.optim_context(model):
            yield
