"""The exponential-moving-average teacher, which follows every step of its student's optimiser."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


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


class StepFollower:
    """Calls a function after each step of the student's optimiser, and notices where another one trains the student.

    Args:
        after_step: Called without arguments.
    """

    def __init__(self, after_step: Callable[[], None]) -> None:
        self.after_step = after_step
        self.handle: RemovableHandle | None = None
        self.moving = False
        self.seen: float | None = None
        self.missed = 0

    def __getstate__(self) -> dict:
        """Have a copy follow nobody: it has to be told its own optimiser."""
        return vars(StepFollower(self.after_step))

    def follow(self, optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
        """Call the function after each step of ``optimizer`` from now on, and of no other.

        Args:
            optimizer: Optimiser of some of the parameters.
            parameters: What is trained.

        Raises:
            ValueError: If the optimiser has no hooks after its steps, or trains none of the parameters.
        """
        name = type(optimizer).__name__
        if not hasattr(optimizer, 'register_step_post_hook'):
            raise ValueError(
                f'the teacher cannot follow {name}, which has no register_step_post_hook: use an optimiser that '
                'derives from torch.optim.Optimizer'
            )
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group['params']}
        if not any(id(parameter) in trained for parameter in parameters):
            raise ValueError(
                f'the teacher cannot follow {name}, which trains no parameter of the student: build the optimiser of '
                'the parameters of this very model'
            )
        if self.handle is not None:
            self.handle.remove()
        self.handle = optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self.moving = True
        # A fused optimiser is called under a gradient scaler for a step, too, that it leaves out.
        if not getattr(optimizer, 'found_inf', False):
            self.after_step()

    def check(self, parameters: Iterable[nn.Parameter]) -> None:
        """Until the first step that is followed, compare the first parameter with what it was in the last call.

        Once, somebody may have loaded weights; twice is training.

        Raises:
            RuntimeError: If it has changed twice.
        """
        parameter = None if self.moving else next(iter(parameters), None)
        if parameter is None:
            return
        # Its sum: fused optimisers do not count as changes in place, of which tensors keep a count.
        now = float(parameter.detach().cpu().double().sum())
        self.missed += self.seen not in (None, now)
        self.seen = now
        if self.missed > 1:
            raise RuntimeError(
                'the student is being trained and its teacher does not follow: set '
                "optim_wrapper.constructor='FLSLOptimWrapperConstructor', or call model.follow_optimizer(optimizer)"
            )
