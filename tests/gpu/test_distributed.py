"""One process under DDP, with NCCL on a GPU and gloo on the CPU: the same training; SyncBN."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import distributed

from flsl_mm.models import FLSLViTPyramid

from .devices import flat, make_wrapper, needs_gpu, take_step, trained

pytestmark = pytest.mark.gpu


@pytest.fixture
def group(device, tmp_path):
    backend = 'nccl' if device == 'cuda' else 'gloo'
    distributed.init_process_group(backend, init_method=f'file://{tmp_path / "store"}', rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_training_under_ddp_is_training(device, group):
    alone, losses = trained(device)
    model, _ = trained(device, steps=0)
    wrapped = MMDistributedDataParallel(model, device_ids=[0] if device == 'cuda' else None)
    wrapper = make_wrapper(model)
    model.attach_optimizer(wrapper.optimizer)
    found = [take_step(wrapped, wrapper, seed) for seed in range(3)]
    assert [step['loss'] for step in found] == pytest.approx([step['loss'] for step in losses], rel=1e-5)
    torch.testing.assert_close(flat(model), flat(alone), rtol=1e-4, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize('device', ['cuda'])
def test_syncbn_of_one_process_is_bn(group):
    maps = [torch.randn(2, 16, 4, 4, device='cuda') for _ in range(4)]
    found = []
    for norm in ('BN', 'SyncBN'):
        torch.manual_seed(0)
        pyramid = FLSLViTPyramid(16, norm=norm).cuda().train()
        outputs = pyramid(maps)
        sum(output.square().mean() for output in outputs).backward()
        found.append([*outputs, *(parameter.grad for parameter in pyramid.parameters())])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
