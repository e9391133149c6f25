"""Counts what a training step sends over the network and estimates from it how far data-parallel training scales.

A step sends the gradients of all trainable parameters (DDP, in their own precision) and, within the loss, the sums of
the K assignments and a count for the volume term, and as much again where teacher logits are centred. The estimate for
2 to 512 GPUs is of a ring all-reduce: 2 (n - 1) / n times the bytes at the bandwidth of the slowest link, and
2 (n - 1) times the latency for each message. It is set against the time of a step on one GPU, which
tools/benchmarks/train_step.py measures (--step-json), with the gradients sent while the backward pass runs or after it.

What is measured is a small model's step in one and in two processes on this machine's CPU (gloo, one thread each), the
all-reduce of its gradients' bytes, and the bytes themselves, counted where they leave for the network.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import measure
import step_time
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from tqdm import tqdm
from two_processes import gradient_bytes, run_processes, statistics_bytes

FOLDER = Path(__file__).parents[2] / 'configs' / 'pretrain'
CONFIGS = [str(FOLDER / f'flsl_vit-{name}.py') for name in ('s16', 's8', 'b16')]
BUCKET_BYTES = 25 * 2**20  # DDP's default size of a message
ASSUMPTIONS = (
    'each GPU keeps its batch; a step of one GPU takes as long as measured, data loading does not slow down',
    'one ring over all GPUs (no trees, which would wait less on many nodes), full duplex, bandwidths as achieved',
    'a node has one network card of the inter-node bandwidth; up to one node, only the link within it counts',
    f'gradients travel in messages of {BUCKET_BYTES >> 20} MiB; overlapped ones start with the backward pass, and the '
    'last message never overlaps',
    'the statistics of the loss never overlap',
)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--configs', nargs='+', default=CONFIGS, help='pretraining configs (default: S/16, S/8, B/16)')
    parser.add_argument(
        '--bandwidth-gbps', type=float, nargs='+', default=[25, 100, 200, 400], help='between nodes, Gbit/s'
    )
    parser.add_argument(
        '--intra-gbps', type=float, default=3600, help="within a node, Gbit/s (default: 3600, H100's and H200's NVLink)"
    )
    parser.add_argument('--gpus-per-node', type=int, default=8, help='(default: 8)')
    parser.add_argument('--latency-us', type=float, default=10, help='of a hop of the ring, µs (default: 10)')
    parser.add_argument(
        '--backward-share', type=float, default=0.5, help='of the step, if the JSON has no parts (default: 0.5)'
    )
    parser.add_argument('--batch-size', type=int, default=8, help='images a process in what is measured (default: 8)')
    step_time.add_options(parser, several=True)
    measure.add_options(parser, repeats=10)
    return parser


def ring_seconds(gpus: int, num_bytes: int, gbps: float, latency: float, messages: int = 1) -> float:
    """Estimate a ring all-reduce.

    Args:
        gpus: Number of GPUs n in the ring.
        num_bytes: Bytes that each of them has.
        gbps: Bandwidth of the slowest link in Gbit/s.
        latency: Seconds of a hop.
        messages: Number of all-reduces that the bytes are split into.
    """
    return 2 * (gpus - 1) / gpus * num_bytes / (gbps * 1e9 / 8) + messages * 2 * (gpus - 1) * latency


def estimate(traffic: dict, gpus: int, gbps: float, args: argparse.Namespace) -> dict:
    """Estimate the efficiency of a number of GPUs at a bandwidth between nodes, as one row of the table."""
    if gpus <= args.gpus_per_node:
        gbps = args.intra_gbps
    latency = args.latency_us * 1e-6
    messages = math.ceil(traffic['gradient_bytes'] / BUCKET_BYTES)
    gradients = ring_seconds(gpus, traffic['gradient_bytes'], gbps, latency, messages)
    statistics = ring_seconds(gpus, traffic['statistics_bytes'], gbps, latency)
    row = dict(gpus=gpus, gbps=gbps, gradient_seconds=gradients, statistics_seconds=statistics)
    step = traffic['step_seconds']
    if step is not None:
        exposed = max(gradients - traffic['backward_seconds'], gradients / messages)
        row.update(
            efficiency_overlapped=step / (step + statistics + exposed),
            efficiency_in_turn=step / (step + statistics + gradients),
        )
    return row


def get_traffic(config: str, steps: dict[str, dict], args: argparse.Namespace) -> dict:
    """Count the bytes of a config's step, and give the time of its step and backward pass where it is known."""
    if not Path(config).is_file():
        raise ValueError(f'no config {config}')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(config).model)
    traffic = dict(gradient_bytes=gradient_bytes(model), statistics_bytes=statistics_bytes(model))
    numbers = steps.get(Path(config).stem, dict(step_seconds=args.step_seconds))
    step = numbers['step_seconds']
    backward = numbers.get('parts_ms', {}).get('backward')
    if backward is None:
        backward = None if step is None else 1e3 * step * args.backward_share
    return dict(traffic, step_seconds=step, backward_seconds=None if backward is None else backward / 1e3)


def check(args: argparse.Namespace) -> dict[str, dict]:
    """Refuse impossible options, and read the steps that were measured: their JSON by the name of their config."""
    positive = [args.intra_gbps, *args.bandwidth_gbps, args.gpus_per_node, args.batch_size]
    if min(positive) <= 0 or args.latency_us < 0 or not 0 <= args.backward_share <= 1:
        raise ValueError('bandwidths, --gpus-per-node and --batch-size must be positive, --backward-share 0 to 1')
    if args.step_seconds is not None:
        step_time.check(args.step_seconds)
    files = [step_time.read(path) for path in args.step_json or ()]
    return {Path(numbers['setting']['config']).stem: numbers for numbers in files}


def measure_here(args: argparse.Namespace) -> dict:
    """Train the small model by one process and by two, and compare."""
    runs = [run_processes(number, args.batch_size, args.repeats) for number in tqdm((1, 2), desc='processes')]
    single, double = runs
    return dict(
        one_process_seconds=single['step_seconds'],
        two_processes_seconds=double['step_seconds'],
        efficiency=single['step_seconds'] / double['step_seconds'],
        all_reduce_seconds=double['all_reduce_seconds'],
        bytes_expected=double['bytes_expected'],
        bytes_sent=double['bytes_sent'],
    )


def run(args: argparse.Namespace) -> dict:
    """Count, estimate, measure and print."""
    steps = check(args)
    models = {}
    for config in args.configs:
        traffic = get_traffic(config, steps, args)
        sizes = [2**power for power in range(1, 10)]
        rows = [estimate(traffic, gpus, gbps, args) for gpus in sizes for gbps in args.bandwidth_gbps]
        models[Path(config).stem] = dict(traffic, estimates=rows)
        report_model(Path(config).stem, models[Path(config).stem], args)
    print('\n'.join(f'assumed: {line}' for line in ASSUMPTIONS))
    print(f'assumed: {args.intra_gbps:g} Gbit/s within a node of {args.gpus_per_node}, {args.latency_us:g} µs a hop')
    here = measure_here(args)
    if here['bytes_sent'] != here['bytes_expected']:
        raise ValueError(f'counted {here["bytes_sent"]} bytes on the way, but expected {here["bytes_expected"]}')
    report_here(here, args)
    return dict(models=models, assumptions=ASSUMPTIONS, measured_here=here)


def report_model(name: str, model: dict, args: argparse.Namespace) -> None:
    """Print the table of a model: efficiencies, or times where its step was not measured."""
    step = model['step_seconds']
    print(
        f'{name}: {model["gradient_bytes"] / 1e6:.1f} MB of gradients and {model["statistics_bytes"] / 1e3:.1f} kB of '
        f'statistics a step; '
        + (f'step of {1e3 * step:.1f} ms' if step else 'step not measured (--step-json, --step-seconds)')
        + f'\n  {"efficiency overlapped / in turn" if step else "ms of the all-reduce"}, by Gbit/s between nodes'
        + f'\n  GPUs{"".join(f"{gbps:>16g}" for gbps in args.bandwidth_gbps)}'
    )
    columns = len(args.bandwidth_gbps)
    for start in range(0, len(model['estimates']), columns):
        rows = model['estimates'][start : start + columns]
        if step:
            cells = [f'{row["efficiency_overlapped"]:.1%} / {row["efficiency_in_turn"]:.1%}' for row in rows]
        else:
            cells = [f'{1e3 * (row["gradient_seconds"] + row["statistics_seconds"]):.2f}' for row in rows]
        print(f'{rows[0]["gpus"]:6}' + ''.join(f'{cell:>16}' for cell in cells))


def report_here(here: dict, args: argparse.Namespace) -> None:
    """Print what was measured on this machine."""
    sent = here['bytes_sent']
    print(
        f'small model here, gloo on the CPU, batch {args.batch_size} a process, one thread each, median of '
        f'{args.repeats}\n'
        f'step, one process    {1e3 * here["one_process_seconds"]:9.1f} ms\n'
        f'step, two processes  {1e3 * here["two_processes_seconds"]:9.1f} ms   efficiency {here["efficiency"]:.1%}\n'
        f'all-reduce           {1e3 * here["all_reduce_seconds"]:9.1f} ms   of the {sent["gradients"] / 1e6:.1f} MB of '
        f'gradients\n'
        f'bytes sent, counted  {sent["gradients"]} of gradients, {sent["statistics"]} of statistics: as expected'
    )


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
