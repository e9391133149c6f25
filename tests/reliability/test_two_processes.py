"""Two processes on halves of a batch compute what one computes on the whole batch, and send no more than they must."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS
from torch import Tensor, distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from flsl_mm.engine.optim import FLSLOptimWrapper
from flsl_mm.selfsup import FLSLDataPreprocessor
from tests.builders.children import CONTEXT
from tests.builders.toy_flsl import HEAD, toy_model, toy_views

pytestmark = pytest.mark.slow

STEPS = 3
RELATIVE = 1e-5
# Grids of 6x6 and 4x4 tokens, which windows of 2x2 divide; else a random corner of the grid is sampled.
CROPS = dict(global_crops=dict(size=48), local_crops=dict(size=32))


@MODELS.register_module()
class PreparedViews(FLSLDataPreprocessor):
    """Takes views as they are, so that each image has the same ones in every process."""

    def forward(self, data: list[Tensor], training: bool = False) -> dict:
        return dict(inputs=dict(views=data), data_samples=None)


def make_batches(sizes: list[int]) -> list[list[Tensor]]:
    """Make the views of one batch for each size."""
    return [toy_views(toy_model(views=CROPS), size, seed=seed)['views'] for seed, size in enumerate(sizes)]


def count_traffic(model: MMDistributedDataParallel) -> Counter:
    """Count the bytes that a process gives to all-reduce from now on: gradients, and all."""
    sent = Counter()
    all_reduce = distributed.all_reduce

    def counted(tensor: Tensor, *args, **kwargs):
        sent['all'] += tensor.nbytes
        return all_reduce(tensor, *args, **kwargs)

    def hook(state, bucket):
        sent['gradients'] += bucket.buffer().nbytes
        return allreduce_hook(None, bucket)

    distributed.all_reduce = counted
    model.register_comm_hook(None, hook)
    return sent


def process(rank: int, world_size: int, sizes: list[int], accumulate: int, folder: Path) -> None:
    """Train on this process's share of the batches and save what came of it."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/{world_size}', rank=rank, world_size=world_size
    )
    torch.manual_seed(0)
    # No random numbers: every process would need those of its own images.
    views = dict(CROPS, type='PreparedViews')
    options = dict(window_member='first', center_momentum=0.9, momentum=0.9)
    model = toy_model(dict(drop_path_rate=0.0), views, **options)
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
    sent = count_traffic(wrapped)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    model.attach_optimizer(optimizer)
    wrapper = FLSLOptimWrapper(optimizer=optimizer, clip_grad=dict(max_norm=3.0), accumulative_counts=accumulate)
    wrapper.initialize_count_status(wrapped, 0, len(sizes))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    gradients = []

    def keep_gradients(optimizer, args, kwargs):
        params = wrapper.parameters()
        gradients.append({names[id(p)]: p.grad.clone() for p in params if p.grad is not None})

    optimizer.register_step_pre_hook(keep_gradients)
    losses = []
    for views in make_batches(sizes):
        # As FLSLSampler deals them out.
        losses.append(wrapped.train_step([view[rank::world_size] for view in views], wrapper))
    found = dict(losses=losses, gradients=gradients, state=model.state_dict(), sent=dict(sent))
    torch.save(found, folder / f'{rank}_of_{world_size}.pth')
    distributed.barrier()
    distributed.destroy_process_group()


def run(world_size: int, sizes: list[int], accumulate: int, folder: Path) -> list[dict]:
    """Run the processes and read what they saved."""
    processes = [
        CONTEXT.Process(target=process, args=(rank, world_size, sizes, accumulate, folder))
        for rank in range(world_size)
    ]
    for child in processes:
        child.start()
    for child in processes:
        child.join(60)
        assert child.exitcode == 0
    return [torch.load(folder / f'{rank}_of_{world_size}.pth', weights_only=True) for rank in range(world_size)]


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor], what: str) -> None:
    """Compare tensors by the norm of their difference relative to their own."""
    assert ours.keys() == theirs.keys()
    for name in theirs:
        actual, expected = ours[name].double(), theirs[name].double()
        if name.endswith('qkv.bias'):
            # Softmax does not feel a key's bias: its gradient is rounding alone, which Adam scales to full steps.
            actual, expected = (torch.cat(bias.chunk(3)[::2]) for bias in (actual, expected))
        assert (actual - expected).norm() <= RELATIVE * expected.norm(), f'{what} of {name}'


@pytest.mark.parametrize(
    ('sizes', 'accumulate'),
    [([6, 6, 6], 1), ([6, 6, 5], 1), ([6, 6, 6, 6, 6, 6], 2), ([6, 4, 6, 4, 6, 5], 2)],
    ids=['halves', 'a last batch that does not divide', 'accumulation', 'accumulation of batches of different sizes'],
)
def test_halves_of_a_batch(sizes, accumulate, tmp_path):
    (whole,) = run(1, sizes, accumulate, tmp_path)
    first, second = run(2, sizes, accumulate, tmp_path)
    assert len(whole['gradients']) == STEPS
    for step in range(STEPS):
        assert_close(first['gradients'][step], whole['gradients'][step], f'gradient of step {step}')
    assert_close(first['state'], whole['state'], 'state')
    for name, value in first['state'].items():
        assert torch.equal(value, second['state'][name]), name
    start = toy_model(dict(drop_path_rate=0.0)).state_dict()
    assert all(not torch.equal(whole['state'][name], value) for name, value in start.items() if 'mlp' in name)
    for size, one, left, right in zip(sizes, whole['losses'], first['losses'], second['losses'], strict=True):
        shares = torch.tensor([size - size // 2, size // 2]) / size
        for name in ('intra', 'inter', 'teacher_entropy'):
            mean = shares[0] * left[name] + shares[1] * right[name]
            torch.testing.assert_close(mean, one[name], rtol=RELATIVE, atol=0, msg=name)
        # These are of all processes already.
        for name in ('volume', 'marginal_entropy'):
            assert torch.equal(left[name], right[name])
            torch.testing.assert_close(left[name], one[name], rtol=RELATIVE, atol=0, msg=name)
        torch.testing.assert_close((left['loss'] + right['loss']) / 2, one['loss'], rtol=RELATIVE, atol=0)
    # Gradients once a step; with each batch, for the volume and for the center, a mean per prototype and a count.
    gradients = sum(gradient.nbytes for gradient in whole['gradients'][0].values())
    statistics = 2 * 4 * (HEAD['num_prototypes'] + 1)
    assert first['sent'] == dict(gradients=STEPS * gradients, all=STEPS * gradients + len(sizes) * statistics)
