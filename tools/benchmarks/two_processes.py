"""Measures data-parallel training of a small FLSL model by several gloo processes on this machine's CPU."""

import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import measure
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import Tensor, multiprocessing, nn
from torch import distributed as dist

import flsl_mm.engine  # noqa: F401
from flsl_mm.selfsup import FLSL

SMALL_MODEL = dict(
    type='FLSL',
    backbone=dict(
        type='FLSLViT',
        arch=dict(embed_dim=192, depth=4, num_heads=3),
        patch_size=16,
        img_size=96,
        out_type='tokens',
        drop_path_rate=0.1,
    ),
    head=dict(type='FLSLHead', hidden_channels=(512, 512), bottleneck_channels=128, num_prototypes=1024),
    data_preprocessor=dict(
        type='FLSLDataPreprocessor', global_crops=dict(num=1, size=96), local_crops=dict(num=2, size=48)
    ),
)
WRAPPER = dict(
    type='FLSLOptimWrapper',
    constructor='FLSLOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.04),
    clip_grad=dict(max_norm=3.0),
)


def gradient_bytes(model: nn.Module) -> int:
    """Count the bytes of the gradients of all trainable parameters, in their own precision."""
    return sum(
        parameter.numel() * parameter.element_size() for parameter in model.parameters() if parameter.requires_grad
    )


def statistics_bytes(model: FLSL) -> int:
    """Count the bytes of what the loss sums over processes: K means and a count, for the volume and for the centre."""
    return 4 * (model.head.num_prototypes + 1) * (1 + (model.center_momentum is not None))


def run_processes(processes: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Train the small model by some processes of one CPU thread each.

    Args:
        processes: Number of processes.
        batch_size: Images of each process a step.
        repeats: Number of steps that are timed.

    Returns:
        ``step_seconds`` (median), ``bytes_expected`` by formula and, with more than one process, ``bytes_sent``: what
        they gave to the network in a step, and ``all_reduce_seconds`` (median) of the gradients' bytes in one piece.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = (processes, batch_size, repeats, folder)
        multiprocessing.spawn(work, arguments, nprocs=processes)
        return torch.load(Path(folder) / 'numbers.pth')


def work(rank: int, processes: int, batch_size: int, repeats: int, folder: str) -> None:
    """Be one of the processes of :func:`run_processes`."""
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    model = MODELS.build(SMALL_MODEL).train()
    numbers = dict(bytes_expected=dict(gradients=gradient_bytes(model), statistics=statistics_bytes(model)))
    wrapper = build_optim_wrapper(model, WRAPPER)
    wrapper.initialize_count_status(model, 0, 10**6)
    batch = dict(inputs=torch.randint(256, (batch_size, 3, 96, 96), dtype=torch.uint8))
    sent = Counter()
    if processes > 1:
        dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=processes)
        model = count_traffic(model, sent)
    steps = []
    for turn in range(-2, repeats):
        sent.clear()
        duration = measure.timed(lambda: model.train_step(batch, wrapper))
        if turn >= 0:
            steps.append(duration)
    numbers.update(step_seconds=statistics.median(steps))
    if processes > 1:
        numbers.update(bytes_sent=dict(sent))
        numbers.update(all_reduce_seconds=time_all_reduce(numbers['bytes_expected']['gradients'], repeats))
        dist.barrier()
        dist.destroy_process_group()
    if rank == 0:
        torch.save(numbers, Path(folder) / 'numbers.pth')


def count_traffic(model: nn.Module, sent: Counter) -> nn.Module:
    """Wrap a model as MMEngine's Runner does, and count the bytes that it gives to all-reduce: DDP's and others."""
    all_reduce = dist.all_reduce

    def counted(tensor: Tensor, *args, **kwargs) -> Any:
        sent['statistics'] += tensor.nbytes
        return all_reduce(tensor, *args, **kwargs)

    def hook(state: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        gradients = bucket.buffer()
        sent['gradients'] += gradients.nbytes
        future = all_reduce(gradients.div_(dist.get_world_size()), async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    dist.all_reduce = counted
    model = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    model.register_comm_hook(None, hook)
    return model


def time_all_reduce(num_bytes: int, repeats: int) -> float:
    """Give the median seconds of an all-reduce of ``num_bytes`` of float32."""
    tensor = torch.zeros(num_bytes // 4)

    seconds = []
    for _ in range(2 + repeats):
        dist.barrier()
        seconds.append(measure.timed(lambda: dist.all_reduce(tensor)))
    return statistics.median(seconds[2:])
