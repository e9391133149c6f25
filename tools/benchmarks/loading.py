"""What the benchmarks of loading share: JPEG files, our loader over them, and its speed once it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from flsl_mm.datasets.images import FLSLImages
from flsl_mm.scenes.painter import render_scene

WIDTH, HEIGHT, QUALITY = 500, 375, 90
NOISE = 12.0
"""Standard deviation of the noise in grey levels; it gives files of 86 KB, ImageNet's are of about 110 KB."""


@contextmanager
def picture_folder(folder: Path | None, count: int) -> Iterator[Path]:
    """Give a folder of JPEG files.

    Args:
        folder: Folder to take the files from; they are written there where it is missing or empty, and stay. None is
            a temporary folder.
        count: Number of files to write.
    """
    if folder is None:
        with TemporaryDirectory(prefix='flsl_pictures_') as temporary:
            write_pictures(Path(temporary), count)
            yield Path(temporary)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        write_pictures(folder, count)
    yield folder


def write_pictures(folder: Path, count: int) -> None:
    """Write generated scenes, enlarged and with noise, as JPEG files of 500x375 pixels and quality 90."""
    for number in tqdm(range(count), desc='writing pictures', leave=False):
        scene = Image.fromarray(render_scene(0, number, (HEIGHT // 2, WIDTH // 2)).image)
        pixels = np.asarray(scene.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
        noise = np.random.default_rng(number).normal(0, NOISE, (HEIGHT, WIDTH, 1))
        picture = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
        picture.save(folder / f'{number:06}.jpg', quality=QUALITY)


def first_files(folder: Path, count: int) -> list[Path]:
    """List the first files of a folder tree as :class:`StretchedImages` counts them, at most ``count``."""
    paths = FLSLImages(folder).paths
    return [Path(paths[index]) for index in range(min(count, len(paths)))]


def mean_kilobytes(files: list[Path]) -> float:
    """Give the mean size of files in KB."""
    return sum(file.stat().st_size for file in files) / len(files) / 1e3


@DATASETS.register_module(force=True)
class StretchedImages(Dataset):
    """``FLSLImages`` of a few files that goes on as long as a data set of many; only the crops are new each time.

    Args:
        length: Number of items.
        files: Number of files to use, the first ones.
        **options: Of :class:`~flsl_mm.datasets.FLSLImages`.
    """

    def __init__(self, length: int, files: int, **options) -> None:
        self.images = FLSLImages(**options)
        self.files = min(files, len(self.images))
        self.length = length
        self.metainfo: dict = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        """Give the item of a file, cropped as in a later epoch where the file comes again."""
        again, file = divmod(index, self.files)
        return self.images[again * len(self.images) + file]


def loader_config(base: ConfigDict, workers: int, batches: int, batch_size: int, **options) -> ConfigDict:
    """Change a config's loader so that it reads the benchmark's files for a given number of batches.

    Args:
        base: ``train_dataloader`` of a pretraining config.
        workers: Number of worker processes, 0 or more.
        batches: Number of batches of an epoch.
        batch_size: Images of a batch.
        **options: Of :class:`StretchedImages`: ``data_root``, ``files`` and perhaps ``size``.

    Returns:
        The config; whatever was not named stays as it was.
    """
    loader = ConfigDict(base.to_dict())
    kept = loader.dataset if loader.dataset.type == 'FLSLImages' else {}
    loader.dataset = ConfigDict(kept, **options, type='StretchedImages', length=batches * batch_size)
    loader.batch_size = batch_size
    loader.num_workers = workers
    loader.persistent_workers = workers > 0
    loader.pin_memory = torch.cuda.is_available()
    return loader


def build_loader(config: ConfigDict) -> DataLoader:
    """Build a loader as the Runner does."""
    return Runner.build_dataloader(config, seed=0)


def seconds_per_image(loader: DataLoader) -> float:
    """Read an epoch and give the seconds that an image takes once all workers are busy.

    The clock starts with the last of the workers' first batches. The epoch's batches should be a multiple of the
    workers, which then end together.

    Raises:
        ValueError: If there are no batches after the first ones.
    """
    first = loader.num_workers
    if len(loader) <= first:
        raise ValueError(f'{len(loader)} batches are too few to time {first} workers')
    batches = iter(loader)
    for _ in islice(batches, first):
        pass
    start = time.perf_counter()
    images = sum(len(batch['inputs']) for batch in batches)
    return (time.perf_counter() - start) / images
