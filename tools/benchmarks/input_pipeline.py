"""Times our loader on JPEG files against decoding and one crop in a single thread.

The figure is the loader that configs/pretrain/_base_/imagenet.py describes (FLSLImages, FLSLSampler, torch's
DataLoader, batches of uint8 views; pinned where there is a GPU), by number of worker processes, once all workers are
busy. In turns with it, the same files are read without loader, batches and workers:

  the limit    PIL decodes, and resizes a crop of the mean size: the least that PIL can do
  torchvision  PIL decodes, RandomResizedCrop(224, scale=(0.8, 1)), pil_to_tensor, for comparison
  decoding     PIL decodes, nothing else, for comparison

Both crops are resized with PIL's bilinear filter, our views with a bicubic one, which is more work. The ratio is
images/s per busy core over the limit in a single thread; the last column is against the limit in as many processes at
once, which also share caches, clock and neighbours. Files are read over and over: they come from the system's cache.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import measure
from loading import (
    build_loader,
    first_files,
    loader_config,
    mean_kilobytes,
    picture_folder,
    seconds_per_image,
)
from mmengine.config import Config
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import pil_to_tensor
from tqdm import tqdm

CONFIG = measure.ROOT / 'configs' / 'pretrain' / '_base_' / 'imagenet.py'
SIZE = 224
CROP = RandomResizedCrop(SIZE, scale=(0.8, 1))
RATIO_REACHED, RATE_REACHED, RATE_CORES = 0.85, 3000, 16


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workers', type=int, nargs='+', help='numbers of workers (default: 0 1 2 and the cores)')
    parser.add_argument('--batch-size', type=int, default=64, help='images a batch (default: 64)')
    parser.add_argument('--rounds', type=int, default=8, help='batches of each worker in an epoch (default: 8)')
    parser.add_argument('--data', type=Path, help='folder for the files, or of own ones (default: a temporary one)')
    parser.add_argument('--images', type=int, default=256, help='files to write and to read (default: 256)')
    measure.add_options(parser, repeats=7)
    parser.set_defaults(threads=1)
    return parser


def check(args: argparse.Namespace) -> None:
    """Complete the options, and refuse impossible ones."""
    if args.workers is None:
        args.workers = sorted({0, 1, 2, measure.machine()['cores']})
    if min(args.workers) < 0:
        raise ValueError(f'--workers must be 0 or more, got {args.workers}')
    if args.rounds < 2:
        raise ValueError(f'--rounds must be at least 2, since the first one does not count, got {args.rounds}')
    if min(args.batch_size, args.images) < 1:
        raise ValueError(f'--batch-size and --images must be at least 1, got {args.batch_size} and {args.images}')


def view_of_pil(file: Path) -> None:
    """Do the least: decode, crop and resize at once."""
    with Image.open(file) as image:
        width, height = image.size
        # 90% of the area, which is the mean of ours.
        box = (0.025 * width, 0.025 * height, 0.975 * width, 0.975 * height)
        image.convert('RGB').resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)


def view_of_torchvision(file: Path) -> None:
    """Do what a plain torchvision data set does."""
    with Image.open(file) as image:
        pil_to_tensor(CROP(image.convert('RGB')))


def decode(file: Path) -> None:
    """Decode."""
    with Image.open(file) as image:
        image.load()


SINGLE = {'limit': view_of_pil, 'torchvision': view_of_torchvision, 'decoding': decode}


def single_seconds(name: str, files: list[Path]) -> float:
    """Give the seconds per file that one of the single-thread works takes."""
    return measure.timed(lambda: [SINGLE[name](file) for file in files]) / len(files)


def limit_together(pool: Executor | None, files: list[Path], processes: int) -> float:
    """Give the seconds per file of the limit in one of several processes that are busy at once."""
    if pool is None:
        return single_seconds('limit', files)
    return statistics.mean(pool.map(single_seconds, ['limit'] * processes, [files] * processes))


def time_in_turns(loaders: dict[int, DataLoader], files: list[Path], args: argparse.Namespace) -> tuple[dict, ...]:
    """Time each loader and each single-thread work, again and again; a first turn does not count.

    Returns:
        Seconds per image of each turn: of our loaders by number of workers, of the limit in as many processes, and of
        the single-thread works by name.
    """
    count = args.batch_size * (args.rounds - 1)
    chosen = [files[number % len(files)] for number in range(count)]
    ours, together, single = defaultdict(list), defaultdict(list), defaultdict(list)
    with ExitStack() as stack:
        pools = {
            workers: stack.enter_context(ProcessPoolExecutor(workers)) if workers > 1 else None for workers in loaders
        }
        for turn in tqdm(range(-1, args.repeats), desc='turns', leave=False):
            if turn == 0:
                for seconds in (ours, together, single):
                    seconds.clear()
            for name in SINGLE:
                single[name].append(single_seconds(name, chosen))
            for workers, loader in loaders.items():
                ours[workers].append(seconds_per_image(loader))
                together[workers].append(limit_together(pools[workers], chosen, workers))
    return ours, together, single


def summarize(ours: dict, together: dict, single: dict, cores: int) -> dict:
    """Turn seconds into rates and ratios.

    Args:
        ours, together, single: What :func:`time_in_turns` gives.
        cores: Cores of this machine.

    Returns:
        Numbers for the JSON file: ``single_thread`` images/s by name, ``loader``, a row for each number of workers,
        and ``on_16_cores``.
    """
    rows = []
    for workers, seconds in ours.items():
        busy = min(max(workers, 1), cores)
        # As many processes as cores at most are busy at a time: more of them share the cores.
        core_seconds = [busy * second for second in seconds]
        share = max(workers, 1) / busy
        ratio = measure.ratio(single['limit'], core_seconds)
        rows.append(
            dict(
                workers=workers,
                busy_cores=busy,
                images_per_second=1 / statistics.median(seconds),
                images_per_second_per_core=1 / statistics.median(core_seconds),
                ratio=ratio,
                reached=ratio >= RATIO_REACHED,
                ratio_together=measure.ratio([second / share for second in together[workers]], core_seconds),
                seconds_per_image=seconds,
                limit_together_seconds_per_image=together[workers],
            )
        )
    return dict(
        single_thread={name: 1 / statistics.median(seconds) for name, seconds in single.items()},
        loader=rows,
        on_16_cores=on_many_cores(rows),
        seconds_per_image=single,
    )


def on_many_cores(rows: list[dict]) -> dict:
    """Say what 16 cores give: measured with as many busy, or extrapolated from the row with most busy cores."""
    measured = [row['images_per_second'] for row in rows if row['busy_cores'] >= RATE_CORES]
    if measured:
        return dict(measured=True, images_per_second=max(measured), reached=max(measured) >= RATE_REACHED)
    widest = max(rows, key=lambda row: row['busy_cores'])
    return dict(measured=False, extrapolated_images_per_second=RATE_CORES * widest['images_per_second_per_core'])


def run(args: argparse.Namespace) -> dict:
    """Measure and print."""
    check(args)
    base = Config.fromfile(CONFIG).train_dataloader
    with picture_folder(args.data, args.images) as folder:
        files = first_files(folder, args.images)
        options = dict(batch_size=args.batch_size, data_root=str(folder), files=len(files), size=SIZE)
        loaders = {
            workers: build_loader(loader_config(base, workers, args.rounds * max(workers, 1), **options))
            for workers in dict.fromkeys(args.workers)
        }
        seconds = time_in_turns(loaders, files, args)
        kilobytes = mean_kilobytes(files)
    numbers = dict(files=len(files), mean_file_kb=kilobytes, **summarize(*seconds, measure.machine()['cores']))
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict) -> None:
    """Print the numbers."""
    print(
        f'{numbers["files"]} JPEG files of {numbers["mean_file_kb"]:.0f} KB on average, batches of {args.batch_size}, '
        f'median of {args.repeats} turns\nin one thread, images/s:'
    )
    for name, rate in numbers['single_thread'].items():
        print(f'  {name:<12}{rate:8.0f}')
    print('our loader    images/s   per core   of the limit            of the limit in as many processes')
    for row in numbers['loader']:
        print(
            f'  {row["workers"]:>2} workers {row["images_per_second"]:9.0f}  {row["images_per_second_per_core"]:9.0f}'
            f'  {row["ratio"]:12.0%}, {verdict(row["reached"])} {RATIO_REACHED:.0%} {row["ratio_together"]:15.0%}'
        )
    many = numbers['on_16_cores']
    if many['measured']:
        result = f'{many["images_per_second"]:.0f} images/s, {verdict(many["reached"])} {RATE_REACHED}'
    else:
        rate = many['extrapolated_images_per_second']
        result = f'not measured; extrapolated from the widest row: {rate:.0f} images/s (wanted: {RATE_REACHED})'
    print(f'{RATE_CORES} cores: {result}')


def verdict(reached: bool) -> str:
    """Say whether a value was reached."""
    return 'reaches' if reached else 'MISSES'


if __name__ == '__main__':
    sys.exit(measure.main(get_parser(), run, None))
