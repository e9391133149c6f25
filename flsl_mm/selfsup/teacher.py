"""The exponential-moving-average teacher, updated by every optimiser step of its student."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

_followed: weakref.WeakSet[nn.Module] = weakref.WeakSet()


@torch.no_grad()
def ema_update(teacher: Iterable[Tensor], student: Iterable[Tensor], momentum: float) -> None:
    """Set ``teacher = momentum * teacher + (1 - momentum) * student`` in place, in a few fused kernels."""
    torch._foreach_lerp_(list(teacher), [tensor.detach() for tensor in student], 1.0 - momentum)


class EMATeacher(nn.Module):
    """Copies of the student's backbone and head that are never trained: always in evaluation mode, no drop path.

    Args:
        backbone: The student's backbone.
        head: The student's head.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.head = copy.deepcopy(head)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> EMATeacher:
        """Stay in evaluation mode whatever ``mode`` says."""
        return super().train(False)

    def copy_from(self, backbone: nn.Module, head: nn.Module) -> None:
        """Take over the student's weights, as at the start of training."""
        self.update(backbone, head, momentum=0.0)

    def update(self, backbone: nn.Module, head: nn.Module, momentum: float) -> None:
        """Move the teacher towards the student; ``momentum`` in 0..1 is the share that it keeps."""
        student = [*backbone.parameters(), *head.parameters()]
        ema_update(self.parameters(), student, momentum)


def follow(model: nn.Module) -> None:
    """Have every later step of an optimiser that holds the student call ``model.update_teacher()``.

    This hangs on :class:`torch.optim.Optimizer` itself, so no training loop, wrapper or launcher can leave it out, and
    it runs once per step also when gradients are accumulated. Following a model twice changes nothing.
    """
    _followed.add(model)


def _after_optimizer_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group['params']}
    for model in list(_followed):
        # One parameter stands for the student, so that a second optimiser for the rest does not update twice.
        first = next((p for p in model.backbone.parameters() if p.requires_grad), None)
        if first is not None and id(first) in stepped:
            model.update_teacher()


register_optimizer_step_post_hook(_after_optimizer_step)
