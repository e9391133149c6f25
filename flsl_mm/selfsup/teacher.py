"""The exponential-moving-average teacher, updated after every step of its student's optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from flsl_mm.models.position_jitter import jittered_positions


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

    def training_tokens(self, images: Tensor, jitter: bool) -> Tensor:
        """Return the last tokens (B, N, C) of images (B, 3, S, S), positions jittered if the backbone jitters them."""
        with jittered_positions(self.backbone, jitter):
            return self.backbone(images)[-1]

    def copy_from(self, backbone: nn.Module, head: nn.Module) -> None:
        """Take over the student's weights, as at the start of training."""
        self.update(backbone, head, momentum=0.0)

    def update(self, backbone: nn.Module, head: nn.Module, momentum: float) -> None:
        """Move the teacher towards the student; ``momentum`` in 0..1 is the share that it keeps."""
        student = [*backbone.parameters(), *head.parameters()]
        ema_update(self.parameters(), student, momentum)


class OptimizerStepCallback:
    """Calls a function after each step of an optimizer, and detects that another one trains the student.

    Args:
        after_step: Called without arguments.
    """

    def __init__(self, after_step: Callable[[], None]) -> None:
        self.after_step = after_step
        self.handle: RemovableHandle | None = None
        self.stepped = False
        self.last_sum: float | None = None
        self.changes = 0

    def __getstate__(self) -> dict:
        """Detach copies: :meth:`attach` their own optimizer to them."""
        return vars(OptimizerStepCallback(self.after_step))

    def attach(self, optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
        """Call the function after each step of ``optimizer`` from now on, and of no other.

        Args:
            optimizer: Optimizer of some of the parameters.
            parameters: What is trained.

        Raises:
            ValueError: If the optimizer has no hooks after its steps, or trains none of the parameters.
        """
        name = type(optimizer).__name__
        if not hasattr(optimizer, 'register_step_post_hook'):
            raise ValueError(
                f'the teacher cannot be updated by {name}, which has no register_step_post_hook: use an optimizer that '
                'derives from torch.optim.Optimizer'
            )
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group['params']}
        if not any(id(parameter) in trained for parameter in parameters):
            raise ValueError(
                f'the teacher cannot be updated by {name}, which trains no parameter of the student: build the '
                'optimizer from the parameters of this model'
            )
        if self.handle is not None:
            self.handle.remove()
        self.handle = optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self.stepped = True
        # A fused optimizer is called under a gradient scaler for a step, too, that it leaves out.
        if not getattr(optimizer, 'found_inf', False):
            self.after_step()

    def check(self, parameters: Iterable[nn.Parameter]) -> None:
        """Until the first step of the attached optimizer, compare the first parameter with its value in the last call.

        One change may be loaded weights; two are training.

        Raises:
            RuntimeError: If it has changed twice.
        """
        parameter = None if self.stepped else next(iter(parameters), None)
        if parameter is None:
            return
        # Its sum: fused optimizers do not count as changes in place, of which tensors keep a count.
        now = float(parameter.detach().cpu().double().sum())
        self.changes += self.last_sum not in (None, now)
        self.last_sum = now
        if self.changes > 1:
            raise RuntimeError(
                'the student is being trained but its teacher is not updated: set '
                "optim_wrapper.constructor='FLSLOptimWrapperConstructor', or call model.attach_optimizer(optimizer)"
            )
