"""Times our loader on JPEG files against decoding alone, and with --train a whole pretraining run against its parts.

The loader is the one that a pretraining config describes (data set, sampler, torch's DataLoader, batches of uint8
views, pinned where there is a GPU). Its limit is a DataLoader with as many workers whose items are decoded with Pillow
and nothing else. Both are timed in turns, once all workers are busy.

--train runs the config through MMEngine's Runner for one epoch without checkpoints, with the largest number of workers.
After each window of iterations the run stands still, and in turns with the windows its limits are timed in the same
process: the same loader, whose batches nobody uses, and the same step on a batch that is there. The limit is the
slower of the two; without a GPU they share the cores, which it knows nothing of.

Images are generated, or those of --data, used again and again where they are fewer than needed: the system's cache
holds them then.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import measure

from flsl_mm.commands import command_line as cli

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict
    from torch.utils.data import DataLoader

CONFIG = measure.ROOT / 'configs' / 'pretrain' / 'flsl_vit-s16.py'
SIZE, QUALITY, NOISE = (500, 375), 90, 19.0
"""Width and height in pixels, JPEG quality, standard deviation of the noise: files of 100 KB, ImageNet's have 110."""


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = measure.get_parser(__doc__, repeats=7, device=False)
    parser.add_argument('--config', type=Path, default=CONFIG, help='pretraining config (default: flsl_vit-s16.py)')
    parser.add_argument(
        '--workers', type=int, nargs='+', help='numbers of workers, 0 for none (default: 1, 2 and the cores)'
    )
    parser.add_argument('--batch-size', type=int, default=64, help='images a batch (default: 64)')
    parser.add_argument('--rounds', type=int, default=8, help='batches of each worker in a measurement (default: 8)')
    parser.add_argument('--data', type=Path, help='folder of images to read (default: generated ones)')
    parser.add_argument('--shards', action='store_true', help='also time reading the same images from a tar file')
    parser.add_argument('--images', type=int, default=256, help='images to generate (default: 256)')
    parser.add_argument('--train', action='store_true', help='also time pretraining end to end')
    parser.add_argument('--iterations', type=int, default=5, help='iterations of a window of --train (default: 5)')
    return parser


def write_images(folder: Path, count: int) -> list[Path]:
    """Write smooth colors with noise as JPEG files, which take as long to decode as photographs of their size."""
    import numpy as np
    from PIL import Image

    files = [folder / f'{number:06}.jpg' for number in range(count)]
    for number, file in enumerate(files):
        generator = np.random.default_rng(number)
        coarse = Image.fromarray(generator.integers(256, size=(12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), dtype=np.float32)
        pixels = smooth + generator.normal(0, NOISE, (*SIZE[::-1], 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, quality=QUALITY)
    return files


def link_images(folder: Path, files: Sequence[Path], count: int) -> Path:
    """Make a folder of ``count`` links to files, again and again, and return it."""
    folder.mkdir()
    for number in range(count):
        file = files[number % len(files)]
        (folder / f'{number:07}{file.suffix}').symlink_to(file.absolute())
    return folder


def pack_images(folder: Path, images: Path) -> Path:
    """Pack a folder of images into a tar file in a folder of its own, and return that."""
    import tarfile

    folder.mkdir()
    with tarfile.open(folder / '0.tar', 'w', dereference=True) as tar:
        for file in sorted(images.iterdir()):
            tar.add(file, file.name)
    return folder


class DecodedImages:
    """A data set that decodes files and keeps nothing of them."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, int]:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            image.load()
        return dict(inputs=index)


def loader_config(cfg: Config, folder: Path, workers: int, batch_size: int) -> ConfigDict:
    """Change a config's loader so that it reads a folder; whatever is not named stays as it was."""
    import torch
    from mmengine.config import ConfigDict

    loader = ConfigDict(cfg.train_dataloader.to_dict())
    size = cfg.model.data_preprocessor.global_crops.size
    kept = loader.dataset if loader.dataset.type == 'FLSLImages' else dict(type='FLSLImages', size=size)
    loader.dataset = ConfigDict(kept, data_root=str(folder))
    loader.update(batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0)
    loader.pin_memory = torch.cuda.is_available()
    return loader


def build_loaders(
    cfg: Config, folder: Path, workers: int, batch_size: int, shards: Path | None = None
) -> list[DataLoader]:
    """Build our loader as the Runner does, the one that decodes alone, and where there are shards ours of those."""
    from mmengine.runner import Runner
    from torch.utils.data import DataLoader

    config = loader_config(cfg, folder, workers, batch_size)
    ours = Runner.build_dataloader(config, seed=0)
    limit = DataLoader(
        DecodedImages(ours.dataset.paths), batch_size, num_workers=workers, persistent_workers=workers > 0
    )
    if shards is None:
        return [ours, limit]
    config.dataset.update(type='FLSLShards', data_root=str(shards))
    return [ours, limit, Runner.build_dataloader(config, seed=0)]


def seconds_per_image(loader: DataLoader) -> float:
    """Read an epoch and give the seconds that an image takes once all workers are busy.

    The clock starts with the last of the workers' first batches. The epoch's batches should be a multiple of the
    workers, which then end together.
    """
    batches = iter(loader)
    for _ in islice(batches, loader.num_workers):
        pass
    start = measure.perf_counter()
    images = sum(len(batch['inputs']) for batch in batches)
    return (measure.perf_counter() - start) / images


def time_loaders(loaders: dict[int, list[DataLoader]], repeats: int) -> list[dict[str, Any]]:
    """Time our loaders and their limit in turns, for each number of workers; a first turn does not count."""
    rows = []
    for workers, each in loaders.items():
        turns = [[seconds_per_image(loader) for loader in each] for _ in range(1 + repeats)]
        seconds, limit, *shards = zip(*turns[1:], strict=True)
        rows.append(loader_row(workers, seconds, limit))
        rows += [dict(loader_row(workers, tar, limit), shards=True) for tar in shards]
    return rows


def loader_row(workers: int, seconds: Sequence[float], limit: Sequence[float]) -> dict[str, Any]:
    """Turn the seconds per image of each turn into rates and their ratio."""
    return dict(
        workers=workers,
        images_per_second=1 / statistics.median(seconds),
        decoded_per_second=1 / statistics.median(limit),
        ratio=measure.ratio(limit, seconds),
        seconds_per_image=seconds,
        limit_seconds_per_image=limit,
    )


class Windows:
    """Takes the place of a model's ``train_step``: times windows of iterations, and between them loader and step alone.

    Args:
        train_step: What it replaces.
        loader: The run's loader once more, to be timed alone.
        warmup: Iterations before each window: batches that got ready while the run stood still must not count.
        iterations: Iterations of a window.
        device: Device of the run.

    Attributes:
        seconds: Seconds per image of each window, by name: ``run``, ``step`` and ``loader``.
        waiting: Share of each window between a step's end and the next one's start: waiting for the batch, and hooks.
    """

    def __init__(
        self, train_step: Callable, loader: DataLoader, warmup: int, iterations: int, device: str = 'cpu'
    ) -> None:
        self.train_step = train_step
        self.loader = loader
        self.warmup, self.iterations = warmup, iterations
        self.device = device
        self.seconds: dict[str, list[float]] = dict(run=[], step=[], loader=[])
        self.waiting: list[float] = []
        self.done = 0
        self.waited = self.started = self.ended = 0.0

    def __call__(self, batch: dict, optim_wrapper: Any) -> Any:
        """Train on a batch; start a window after the warm-up, and end it after its last iteration."""
        self.waited += measure.perf_counter() - self.ended
        outputs = self.train_step(batch, optim_wrapper)
        self.done += 1
        if self.done == self.warmup:
            measure.synchronize(self.device)
            self.started, self.waited = measure.perf_counter(), 0.0
        elif self.done == self.warmup + self.iterations:
            self.end_window(batch, optim_wrapper)
        self.ended = measure.perf_counter()
        return outputs

    def end_window(self, batch: dict, optim_wrapper: Any) -> None:
        """Note a window's times, then time the step alone and the loader alone."""
        measure.synchronize(self.device)
        duration = measure.perf_counter() - self.started
        self.waiting.append(self.waited / duration)
        images = self.iterations * len(batch['inputs'])
        self.seconds['run'].append(duration / images)

        def steps() -> None:
            for _ in range(self.iterations):
                self.train_step(batch, optim_wrapper)

        self.seconds['step'].append(measure.timed(steps, self.device) / images)
        self.seconds['loader'].append(seconds_per_image(self.loader))
        self.done = 0


def train(args: argparse.Namespace, cfg: Config, folder: Path, files: Sequence[Path], loader: DataLoader) -> Windows:
    """Train as the config says, but on the files, for as many iterations as the windows take, without checkpoints."""
    workers = max(args.workers)
    warmup = max(2, 2 * workers)
    images = args.repeats * (warmup + args.iterations) * args.batch_size
    cfg.train_dataloader = loader_config(cfg, link_images(folder / 'train', files, images), workers, args.batch_size)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint = None
    cfg.log_level = 'WARNING'
    cfg.work_dir = str(folder / 'work')
    runner = cli.build_runner(cfg)
    windows = Windows(runner.model.train_step, loader, warmup, args.iterations, measure.choose_device(None))
    runner.model.train_step = windows
    runner.train()
    return windows


def summarize_run(seconds: dict[str, list[float]], waiting: Sequence[float]) -> dict[str, Any]:
    """Turn the seconds per image of each window, and its share of waiting, into rates, the ratio and the limit."""
    limit = [max(pair) for pair in zip(seconds['loader'], seconds['step'], strict=True)]
    rates = {f'{name}_images_per_second': 1 / statistics.median(turns) for name, turns in seconds.items()}
    return dict(
        rates,
        limit='loader' if rates['loader_images_per_second'] < rates['step_images_per_second'] else 'step',
        ratio=measure.ratio(limit, seconds['run']),
        waiting=statistics.median(waiting),
        seconds_per_image=seconds,
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print."""
    from flsl_mm.datasets.images import FLSLImages

    measure.check_positive(args, 'batch_size', 'rounds', 'images', 'iterations')
    args.workers = sorted(set(args.workers or (1, 2, measure.cores())))
    if args.workers[0] < 0:
        raise ValueError(f'--workers must be 0 or more, got {args.workers[0]}')
    cfg = measure.read_config(args.config, 'FLSL')
    with TemporaryDirectory(prefix='flsl_images_') as name:
        folder = Path(name)
        (folder / 'source').mkdir()
        files = [Path(file) for file in FLSLImages(args.data).paths] if args.data else None
        files = files or write_images(folder / 'source', args.images)
        loaders = {}
        for workers in args.workers:
            epoch = link_images(folder / str(workers), files, (1 + args.rounds) * max(1, workers) * args.batch_size)
            shards = pack_images(folder / f'{workers}_shards', epoch) if args.shards else None
            loaders[workers] = build_loaders(cfg, epoch, workers, args.batch_size, shards)
        numbers = dict(
            mean_file_kb=statistics.mean(file.stat().st_size for file in files) / 1e3,
            loader=time_loaders(loaders, args.repeats),
        )
        if args.train:
            windows = train(args, cfg, folder, files, loaders[max(args.workers)][0])
            numbers['train'] = summarize_run(windows.seconds, windows.waiting)
    report(args, numbers)
    return numbers


def report(args: argparse.Namespace, numbers: dict[str, Any]) -> None:
    """Print the table."""
    rows = []
    for row in numbers['loader']:
        limit = f'decoding {row["decoded_per_second"]:,.1f} images/s'
        rate = f'{row["images_per_second"]:,.1f} images/s'
        source = ', shards' if row.get('shards') else ''
        rows.append((f'loader, {row["workers"]} workers{source}', rate, limit, f'{row["ratio"]:.1%}'))
    if found := numbers.get('train'):
        limit = f'{found["limit"]} {found[found["limit"] + "_images_per_second"]:,.1f} images/s'
        rows.append(('end to end', f'{found["run_images_per_second"]:,.1f} images/s', limit, f'{found["ratio"]:.1%}'))
        rows.append(('  between steps', '', '', f'{found["waiting"]:.1%}'))
    title = f'{args.config.stem}, files of {numbers["mean_file_kb"]:.0f} KB, batches of {args.batch_size}'
    measure.print_table(title, args, numbers, rows)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return measure.main(get_parser(), run, argv)


if __name__ == '__main__':
    sys.exit(main())
