"""Sums and means over the queries of all processes, exact where processes hold different numbers of queries."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def get_world_size() -> int:
    """Return the number of processes of torch's default group, 1 without one."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def sum_over_processes(total: Tensor) -> Tensor:
    """Add per-process sums of any shape; no gradient flows through the other processes' share."""
    if get_world_size() == 1:
        return total
    total = total.detach().clone()
    distributed.all_reduce(total)
    return total


def mean_over_processes(total: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Average per-process sums, so that DDP's averaged gradient is the gradient of the mean over all processes.

    The value is the mean over all processes; the gradient flows through this process's share only (DDP adds the
    others'), which needs a single all-reduce and none in the backward pass.

    Args:
        total: Sum over this process's queries (K,).
        count: Number of this process's queries.

    Returns:
        Mean over all queries of all processes (K,), and this process's weight: its share of all queries times the
        number of processes (1 when all hold equally many), by which a mean over its own queries has to be multiplied.
    """
    processes = get_world_size()
    if processes == 1:
        return total / count, total.new_ones(())
    packed = torch.cat([total.detach().float(), total.new_full((1,), count, dtype=torch.float32)])
    distributed.all_reduce(packed)
    mean = packed[:-1] / packed[-1]
    local = total * (processes / packed[-1])
    return mean + (local - local.detach()), count * processes / packed[-1]
