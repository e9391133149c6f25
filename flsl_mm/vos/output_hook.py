"""Writes what a test of label propagation gives: masks, images and tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from PIL import Image

from flsl_mm.datasets.palette import davis_palette, write_palette_mask
from flsl_mm.utils.fileio import atomic_writer, write_text

from .measures import mask_boundary
from .metric import COLUMNS, DAVISMetric, score_columns
from .propagator import resize_nearest

IMAGES = ('strip', 'gif', 'none')
STRIP_FRAMES, STRIP_WIDTH = 6, 320
GIF_WIDTH, GIF_FRAME_MS = 416, 80


def paint_objects(frame: np.ndarray, ids: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Lay the colors of a mask's objects over a frame, with their contours in white.

    Args:
        frame: RGB (H, W, 3), uint8.
        ids: Object ids (H0, W0), uint8.
        opacity: Share of the color, 0 to 1.

    Returns:
        RGB (H, W, 3), uint8.
    """
    ids = resize_nearest(ids, frame.shape[:2])
    painted = frame.copy()
    inside = ids > 0
    painted[inside] = ((1 - opacity) * frame[inside] + opacity * davis_palette()[ids[inside]]).astype(np.uint8)
    contour = np.logical_or.reduce([mask_boundary(ids == number) for number in np.unique(ids)])
    painted[contour] = 255
    return painted


def _shrink(image: np.ndarray, width: int) -> Image.Image:
    height = round(image.shape[0] * width / image.shape[1])
    return Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)


def write_strip(path: Path, frames: np.ndarray, predictions: np.ndarray) -> None:
    """Write a few frames of a video, evenly spaced, with their masks side by side.

    Args:
        path: PNG file.
        frames: RGB (T, H, W, 3), uint8.
        predictions: Object ids (T, H0, W0), uint8.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, STRIP_FRAMES).round().astype(int))
    images = [_shrink(paint_objects(frames[i], predictions[i]), STRIP_WIDTH) for i in chosen]
    strip = Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))
    with atomic_writer(path) as file:
        strip.save(file, format='PNG')


def write_gif(path: Path, frames: Iterable[np.ndarray], predictions: Iterable[np.ndarray]) -> None:
    """Write a whole video with its masks as an animation; elements as in :func:`write_strip`, from any iterables."""
    pairs = zip(frames, predictions, strict=True)
    images = (_shrink(paint_objects(frame, ids), min(GIF_WIDTH, frame.shape[1])) for frame, ids in pairs)
    first = next(images)
    with atomic_writer(path) as file:
        first.save(file, format='GIF', save_all=True, append_images=images, duration=GIF_FRAME_MS, loop=0)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    with atomic_writer(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_tables(folder: Path, metric: DAVISMetric) -> None:
    """Write ``global_results.csv``, ``per_object_results.csv`` (as VIDEO_ID, failed videos last) and ``protocol.json``.

    Args:
        folder: Existing folder.
        metric: Metric after an evaluation, in the main process.
    """
    videos = {score.video for score in metric.scores}
    overall = score_columns(metric.scores)
    _write_csv(
        folder / 'global_results.csv',
        [*COLUMNS, 'videos', 'objects', 'failed_videos'],
        [[*(f'{value:.6f}' for value in overall.values()), len(videos), len(metric.scores), len(metric.failures)]],
    )
    rows = [
        [f'{score.video}_{score.object_id}', *(f'{value:.6f}' for value in score_columns([score]).values()), '']
        for score in metric.scores
    ]
    rows += [[video, *[''] * len(COLUMNS), error] for video, error in metric.failures.items()]
    _write_csv(folder / 'per_object_results.csv', ['object', *COLUMNS, 'error'], rows)
    write_text(folder / 'protocol.json', json.dumps(metric.protocol, indent=2) + '\n')


@HOOKS.register_module()
class DAVISOutputHook(Hook):
    """Writes masks, images and tables of a test.

    ``masks/VIDEO/00000.png`` are palette PNGs as the DAVIS evaluation reads them, ``images/VIDEO.png`` (or ``.gif``)
    shows masks over frames, and the tables are those of :func:`write_tables`.

    Args:
        out_dir: Folder, None for ``davis`` in the work folder.
        images: ``'strip'`` (six frames side by side), ``'gif'`` (all frames) or ``'none'``.

    Raises:
        ValueError: If ``images`` is unknown.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str | None = None, images: str = 'strip') -> None:
        if images not in IMAGES:
            raise ValueError(f'images must be one of {IMAGES}, got {images!r}')
        self.out_dir = out_dir
        self.images = images

    def _folder(self, runner: Runner) -> Path:
        return Path(self.out_dir or Path(runner.work_dir) / 'davis')

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Write the masks and the image of each video of the batch."""
        for position, output in enumerate(outputs):
            if 'error' not in output:
                item = {key: values[position] for key, values in data_batch.items()}
                self._write_video(self._folder(runner), item, output['predictions'])

    def _write_video(self, folder: Path, item: dict, predictions: np.ndarray) -> None:
        mask_folder = folder / 'masks' / item['video']
        mask_folder.mkdir(parents=True, exist_ok=True)
        for name, ids in zip(item['frame_names'], predictions, strict=True):
            write_palette_mask(mask_folder / f'{name}.png', ids)
        if self.images == 'none':
            return
        image_folder = folder / 'images'
        image_folder.mkdir(exist_ok=True)
        write, suffix = (write_strip, 'png') if self.images == 'strip' else (write_gif, 'gif')
        write(image_folder / f'{item["video"]}.{suffix}', item['frames'], predictions)

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the tables and say where everything is."""
        metric = next((m for m in runner.test_evaluator.metrics if isinstance(m, DAVISMetric)), None)
        folder = self._folder(runner)
        if metric is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_tables(folder, metric)
        runner.logger.info(f'masks, images and tables: {folder}')
