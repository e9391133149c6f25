"""Marks of the tests of a GPU, and a small model that learns on either device."""

from contextlib import contextmanager

import pytest
import torch
from mmengine.optim import OptimWrapper

from flsl_mm.engine.optim import FLSLAmpOptimWrapper, FLSLOptimWrapper
from flsl_mm.selfsup import FLSL
from tests.builders.toy_flsl import toy_model

NO_GPU = 'needs a GPU, and torch finds none'
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)

JITTERED = dict(
    backbone=dict(position_jitter=dict(range=24.0, zoom=1.5)),
    anchor_width=0.1,
    assignment='sinkhorn',
    volume_weight=0.0,
)
"""Options of the model with the anchored target, jitter and Sinkhorn assignments."""
CONTENT = JITTERED | dict(
    views=dict(teacher_crop=dict(size=40, scale=(0.25, 0.6)), clean_teacher=True, flip_prob=0.5),
    self_scale=1.0,
    cross_scale=2.0,
    target_centering=dict(image=0.75, cells=4, momentum=0.9),
)
"""What configs/pretrain/flsl_vit-t8d4_content.py adds to it."""


class CPUAmpWrapper(FLSLOptimWrapper):
    """Mixed precision on a CPU, where training itself stays in float32: the code of a test is known to be right then.

    Args:
        dtype: ``'bfloat16'`` or ``'float16'``.
        **kwargs: As of ``OptimWrapper``.
    """

    def __init__(self, dtype: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.dtype = getattr(torch, dtype)

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        with super().optim_context(model), torch.autocast('cpu', self.dtype):
            yield


def make_wrapper(model: torch.nn.Module, dtype: str = 'float32', **options) -> OptimWrapper:
    """Make the optimizer wrapper of a precision for a model's device, of AdamW unless ``optimizer`` is given."""
    options = dict(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3), clip_grad=dict(max_norm=3.0)) | options
    if dtype == 'float32':
        wrapper = FLSLOptimWrapper(**options)
    elif next(model.parameters()).device.type == 'cpu':
        wrapper = CPUAmpWrapper(dtype, **options)
    else:
        wrapper = FLSLAmpOptimWrapper(dtype=dtype, loss_scale=2.0**10, **options)
    wrapper.initialize_count_status(model, 0, 10**6)
    return wrapper


def trained(device: str, dtype: str = 'float32', steps: int = 3, **options) -> tuple[FLSL, list[dict[str, float]]]:
    """Train the toy model for some steps, without clipping, and return it with the terms of each step's loss."""
    model = toy_model(**options).to(device).train()
    wrapper = make_wrapper(model, dtype)
    model.attach_optimizer(wrapper.optimizer)
    return model, [take_step(model, wrapper, seed) for seed in range(steps)]


def take_step(model: torch.nn.Module, wrapper: OptimWrapper, seed: int) -> dict[str, float]:
    """Train on a batch of noise, the same one on every device."""
    torch.manual_seed(seed)
    images = torch.randint(256, (4, 3, 48, 48), dtype=torch.uint8)
    return {name: value.item() for name, value in model.train_step(dict(inputs=images), wrapper).items()}


def flat(model: torch.nn.Module) -> torch.Tensor:
    """Put all parameters into one vector on the CPU."""
    return torch.cat([parameter.detach().flatten().cpu().double() for parameter in model.parameters()])
