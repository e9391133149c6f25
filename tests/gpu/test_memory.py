"""Peak memory of the device: what `flsl-mm train --auto` counts on, and a video at full size."""

import gc

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import flsl_mm.selfsup  # noqa: F401
from flsl_mm.commands.config_files import configs_folder
from flsl_mm.vos.propagator import FLSLLabelPropagator

from .devices import make_wrapper, needs_gpu

pytestmark = pytest.mark.gpu

IMAGES_PER_GIB = 2
"""What the automatic recipe puts on a GPU, ViT-S/16 in bfloat16."""


@pytest.fixture
def peak(record_property):
    """Give a function that returns the GiB that some work takes on the device at most, and notes them."""

    def measured(work) -> float:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        work()
        found = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        if found:
            record_property('GiB', f'{found:.1f}')
        return found

    return measured


def pretraining_step(device: str, batch_size: int, arch: str | dict, size: int) -> None:
    """Take two steps of the paper's recipe, as tools/train.py would."""
    cfg = Config.fromfile(configs_folder() / 'pretrain' / 'flsl_vit-s16.py')
    cfg.model.backbone.arch = arch
    cfg.model.data_preprocessor.global_crops.size = size
    model = MODELS.build(cfg.model).to(device).train()
    optimizer = torch.optim.AdamW(model.student_parameters(), lr=5e-4, fused=True)
    wrapper = make_wrapper(model, 'bfloat16' if device == 'cuda' else 'float32', optimizer=optimizer)
    model.attach_optimizer(optimizer)
    images = torch.randint(256, (batch_size, 3, size, size), dtype=torch.uint8)
    for _ in range(2):
        terms = model.train_step(dict(inputs=images), wrapper)
    assert terms['loss'].isfinite()


@pytest.mark.parametrize('batch_size', [64, pytest.param(256, marks=pytest.mark.slow)])
@needs_gpu
def test_a_step_of_vit_s16_fits(batch_size, peak):
    assert peak(lambda: pretraining_step('cuda', batch_size, 'small', 224)) < batch_size / IMAGES_PER_GIB


def test_the_step_that_is_measured(peak):
    """Small, on the CPU, which takes no memory of a GPU."""
    assert peak(lambda: pretraining_step('cpu', 2, dict(embed_dim=16, depth=1, num_heads=2), 64)) < 0.01


@pytest.mark.parametrize(
    ('where', 'arch', 'size', 'frames'),
    [
        ('cpu', dict(embed_dim=24, depth=1, num_heads=3), (64, 96), 3),
        pytest.param('cuda', 'small', (480, 1152), 10, marks=needs_gpu),
    ],
    ids=['cpu', 'cuda'],
)
def test_a_video_of_vit_s8_fits(where, arch, size, frames, peak):
    """8,640 patches a frame and eight frames of context: in 8 GiB."""
    model = FLSLLabelPropagator(dict(type='FLSLViT', arch=arch, patch_size=8), progress=False).to(where).eval()
    video = np.random.default_rng(0).integers(256, size=(frames, *size, 3), dtype=np.uint8)
    first = np.zeros(size, np.uint8)
    first[:, : size[1] // 2] = 1
    assert peak(lambda: [mask.shape for mask in model.segment(video, first)]) < 8
