"""Devices: copy tensors to one without waiting for it, and what the processor computes itself."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a small CPU tensor to a device; to an accelerator through pinned memory, so that the host need not wait."""
    if device.type == 'cuda':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def cpu_has_bfloat16() -> bool:
    """Say whether the processor has instructions for bfloat16 (AVX512-BF16 or AMX), without which it is slow."""
    capabilities = getattr(torch.cpu, 'get_capabilities', dict)()
    return bool(capabilities.get('avx512_bf16') or capabilities.get('amx_bf16'))
