"""Hook that writes the masks, images and tables of label propagation."""

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

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.utils.fileio import atomic_writer, write_text

from .drawing import write_gif, write_strip
from .metric import COLUMNS, DAVISMetric, score_columns

IMAGES = ('strip', 'gif', 'none')


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
    write_text(folder / 'protocol.json', json.dumps(metric.protocol, indent=2) + '\n')
    if not metric.scores:
        return
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
