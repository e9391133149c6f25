"""Compile the transformer blocks of a model with torch.compile; off by default."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from flsl_mm.models.block import DropPathBlock


def compile_blocks(model: nn.Module, **options: Any) -> int:
    """Compile each transformer block of a model in place, student's, teacher's or a detector's.

    A block is compiled once for all blocks of one shape, which takes seconds; the rest of the model, whose shapes and
    control flow change, stays as it is. Names of parameters and checkpoints do not change, and a deep copy of the model
    computes with its own weights.

    Args:
        model: Model with ``blocks`` in it, timm's or ours.
        **options: Of ``torch.compile``.

    Returns:
        Number of blocks.

    Raises:
        ValueError: If there is no block.
    """
    lists = [module.blocks for module in model.modules() if isinstance(getattr(module, 'blocks', None), nn.Module)]
    blocks = [block for blocks in lists for block in blocks]
    if not blocks:
        raise ValueError(f'{type(model).__name__} has no transformer blocks to compile')
    compiled: dict[Callable, Callable] = {}
    for block in blocks:
        # Which samples a block drops is drawn outside of its branches.
        for branch in ('attention_branch', 'mlp_branch') if isinstance(block, DropPathBlock) else ('forward',):
            function = getattr(type(block), branch)
            if function not in compiled:
                compiled[function] = torch.compile(function, **options)
            # A method, not a function compiled with its block: a deep copy of the block (an EMA model) gets its own.
            setattr(block, branch, MethodType(compiled[function], block))
    return len(blocks)


@HOOKS.register_module()
class FLSLCompileHook(Hook):
    """Compiles the transformer blocks before a run (``tools/train.py --compile``).

    Results change by rounding only. The first steps take up to a minute longer; a C++ compiler must be there on the
    CPU.

    Args:
        **options: Of ``torch.compile``.

    Raises:
        ValueError: If the model has no transformer blocks.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_run(self, runner: Runner) -> None:
        """Compile."""
        count = compile_blocks(runner.model, **self.options)
        runner.logger.info(f'torch.compile: {count} transformer blocks')
