"""Times the device-side views: crops, photometric jitter and normalisation of a uint8 batch on the device.

Beside it stands what any program has to move at least, the uint8 batch read and all float32 views written once, at the
memory bandwidth that a large copy reaches in the same run. Crops (with the conversion to float) and photometric jitter
(with normalisation) are timed by themselves, too. On a GPU the views must take no more than a tenth of the training
step, whose time tools/benchmarks/train_step.py measures: --step-json.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import measure
import step_time
import torch

from flsl_mm.selfsup import FLSLDataPreprocessor

MUST_REACH = 0.1
COPY_BYTES = {'cpu': 2**28, 'cuda': 2**31}


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch-size', type=int, default=256, help='images (default: 256)')
    parser.add_argument('--size', type=int, default=224, help="side of the loader's images in pixels (default: 224)")
    step_time.add_options(parser)
    measure.add_device_option(parser)
    measure.add_options(parser, repeats=10)
    return parser


def known_step(args: argparse.Namespace) -> float | None:
    """Give the training step's seconds, or None; raises ValueError if they are of another batch or device."""
    if not args.step_json:
        return None if args.step_seconds is None else step_time.check(args.step_seconds)
    numbers = step_time.read(args.step_json)
    for option in ('batch_size', 'device'):
        if numbers['setting'].get(option) != getattr(args, option):
            raise ValueError(
                f'{args.step_json} was measured with {option} {numbers["setting"].get(option)}, '
                f'the views with {getattr(args, option)}'
            )
    return numbers['step_seconds']


@torch.no_grad()
def time_views(args: argparse.Namespace) -> tuple[dict[str, list[float]], int]:
    """Time the views, their two parts and the large copy in turns.

    Returns:
        Seconds of each turn by name, and the bytes that the views must move at least.
    """
    torch.manual_seed(0)
    device = torch.device(args.device)
    preprocessor = FLSLDataPreprocessor().to(device)
    batch = torch.randint(256, (args.batch_size, 3, args.size, args.size), dtype=torch.uint8, device=device)
    generator = torch.Generator().manual_seed(0)
    clean = preprocessor.crop(batch.float() / 255, generator)
    source = torch.ones(COPY_BYTES[args.device] // 4, device=device)
    target = torch.empty_like(source)
    works = {
        'views': lambda: preprocessor(dict(inputs=batch), training=True),
        'crops': lambda: preprocessor.crop(batch.float() / 255, generator),
        'photometric': lambda: preprocessor.jitter(clean, generator),
        'copy': lambda: target.copy_(source),
    }
    return measure.in_turns(works, args.repeats, args.device), batch.nbytes + sum(view.nbytes for view in clean)


def run(args: argparse.Namespace) -> dict:
    """Measure and print."""
    if args.batch_size < 1 or args.size < 1:
        raise ValueError(f'--batch-size and --size must be at least 1, got {args.batch_size} and {args.size}')
    step = known_step(args)
    seconds, least_bytes = time_views(args)
    # A copy reads and writes.
    copied = 2 * COPY_BYTES[args.device]
    limits = [least_bytes * duration / copied for duration in seconds['copy']]
    medians = {name: statistics.median(durations) for name, durations in seconds.items()}
    numbers = dict(
        views_seconds=medians['views'],
        crops_seconds=medians['crops'],
        photometric_seconds=medians['photometric'],
        least_bytes=least_bytes,
        bandwidth_gb_per_second=copied / medians['copy'] / 1e9,
        limit_seconds=statistics.median(limits),
        ratio=measure.ratio(seconds['views'], limits),
        step_seconds=step,
        share_of_step=None if step is None else medians['views'] / step,
        peak_memory=measure.peak_memory(args.device),
        seconds=seconds,
    )
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict) -> None:
    """Print the numbers."""
    share = 'not measured (--step-json, --step-seconds)'
    if numbers['share_of_step'] is not None:
        share = f'{numbers["share_of_step"]:9.1%}'
        if args.device == 'cuda':
            share += f'   must be <= {MUST_REACH:.0%}: '
            share += 'reached' if numbers['share_of_step'] <= MUST_REACH else 'not reached'
    print(
        f'views, batch {args.batch_size}, {args.device}, {torch.get_num_threads()} threads, median of {args.repeats}\n'
        f'all views           {1e3 * numbers["views_seconds"]:9.2f} ms\n'
        f'  crops             {1e3 * numbers["crops_seconds"]:9.2f} ms\n'
        f'  photometric       {1e3 * numbers["photometric_seconds"]:9.2f} ms, normalisation included\n'
        f'least bytes moved   {1e3 * numbers["limit_seconds"]:9.2f} ms   {numbers["least_bytes"] / 1e6:.0f} MB at '
        f'{numbers["bandwidth_gb_per_second"]:.1f} GB/s\n'
        f'ratio               {numbers["ratio"]:9.2f}\n'
        f'share of the step   {share}'
    )


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
