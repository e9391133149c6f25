"""Detect or segment images with a trained model: drawn images and a file of results, from its work folder alone."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flsl_mm import register
from flsl_mm.utils.fileio import write_json
from flsl_mm.utils.terminal import progress, say

from . import command_line, model_options
from .names import safe_name
from .parser import Parser
from .quiet import read_config_quietly
from .visualize import list_images

if TYPE_CHECKING:
    from flsl_mm.detection.inference import Detector
    from flsl_mm.segmentation.inference import Segmentor

EPILOG = """examples:
  flsl-mm predict work_dirs/mask-rcnn_flsl-vit-t16_fpn_scenes my_images/ --out predicted
  flsl-mm predict work_dirs/mask-rcnn_flsl-vit-t16_fpn_scenes/epoch_6.pth a.jpg b.png --out predicted --score 0.1

Of a work folder, the best checkpoint by validation is taken where there is one, else the newest. DIR receives an image
for each image and results.json: of detectors class, score, box and mask; of segmentors the share of each class, and
its map as PNG.
"""

RESULTS = 'results.json'
"""File of the results in the folder of outputs."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('source', metavar='WORK_DIR', help='work folder of a training, or a checkpoint in it')
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='image files, or folders of them')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for drawn images and results')
    parser.add_argument(
        '--score', type=float, default=0.3, metavar='S', help='least score of a detection that is drawn (default: 0.3)'
    )
    parser.add_argument('--config', help='config, where the folder of the checkpoint has none, or several')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:1, ...')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args(argv)


def predict(
    source: str | os.PathLike,
    images: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike | None = None,
    score: float = 0.3,
    config: str | os.PathLike | None = None,
    device: str = 'auto',
) -> list[dict[str, Any]]:
    """Detect or segment images with a trained detector or segmentor.

    Args:
        source: Work folder of its training, of which the best or else the newest checkpoint is taken, or a checkpoint.
        images: Image files, or folders of them.
        out: Folder for drawn images and ``results.json``; by default nothing is written.
        score: Least score of a detection that is drawn.
        config: Its config; by default the one beside the checkpoint.
        device: Where it computes; ``'auto'`` takes a GPU if there is one.

    Returns:
        A dict for each image that could be read, in order: ``image`` and what
        :meth:`~flsl_mm.detection.inference.Detector.describe` or
        :meth:`~flsl_mm.segmentation.inference.Segmentor.describe` says.

    Raises:
        FileNotFoundError: If there is no such folder, checkpoint, config or image.
        ValueError: If it is neither a detector nor a segmentor, or no image can be read.
        CheckpointError: If the checkpoint does not hold the whole model.
    """
    register()
    given = [images] if isinstance(images, (str, os.PathLike)) else images
    results, _ = _predict(Path(source), [Path(path) for path in given], out, score, config, device)
    return results


def find_weights(source: Path) -> Path:
    """Find the checkpoint of a work folder: the best by validation, else the newest; a file is taken as it is.

    Raises:
        FileNotFoundError: If there is none.
    """
    from flsl_mm.engine.resume import last_checkpoint_path, newest_first

    if not source.is_dir():
        if not source.is_file():
            raise FileNotFoundError(f'no work folder or checkpoint {source}')
        return source
    best = sorted(source.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    named = last_checkpoint_path(source)
    last = [source / named.name] if named and (source / named.name).is_file() else []
    found = [*best[-1:], *last, *newest_first(source, epoch_length=1)]
    if not found:
        raise FileNotFoundError(f'no checkpoint in {source}: train first, or name a checkpoint')
    return found[0]


def load(weights: Path, config: str | os.PathLike | None, device: str) -> Detector | Segmentor:
    """Load a trained detector or segmentor; every tensor of it has to be in the file.

    Raises:
        ValueError: If the config describes neither.
    """
    from flsl_mm.checkpoint import check_strict

    path = command_line.find_config(config) if config else command_line.saved_config(weights.parent)
    cfg = read_config_quietly(str(path))
    scope = cfg.get('default_scope')
    if scope == 'mmdet':
        from flsl_mm.detection.inference import Detector as Model
    elif scope == 'mmseg':
        from flsl_mm.segmentation.inference import Segmentor as Model
    else:
        raise ValueError(f'{path} is of no detector or segmentor: `flsl-mm visualize` shows what a backbone learned')
    with redirect_stdout(io.StringIO()):  # MMEngine prints that it reads the checkpoint
        model = Model(cfg, weights, device)
    check_strict(model.model, os.fspath(weights))
    return model


def _predict(
    source: Path,
    images: Sequence[Path],
    out: str | os.PathLike | None,
    score: float,
    config: str | os.PathLike | None,
    device: str,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Predict; returns results, and why images could not be read, by path."""
    import numpy as np

    from flsl_mm.datasets.decode import read_image
    from flsl_mm.datasets.image_file import ImageError

    paths = list_images(list(images))
    folder = None if out is None else Path(out)
    if folder:
        model_options.check_writable(folder / RESULTS)
    weights = find_weights(source)
    model = load(weights, config, model_options.resolve_device(device))
    results, listed, skipped = [], [], {}
    for number, path in enumerate(progress(paths, 'images', 'image'), start=1):
        try:
            image = np.array(read_image(path))
        except ImageError as error:
            skipped[str(path)] = error.reason
            continue
        sample = model(image)
        results.append(dict(image=str(path), **model.describe(sample)))
        if folder:
            name = f'{number:04d}_{safe_name(path.stem)}'
            model.draw(image, sample, folder / f'{name}.jpg', score)
            listed.append(written(results[-1], folder, name))
    if not results:
        path, reason = next(iter(skipped.items()))
        raise ValueError(f'none of the {len(paths)} images can be read, {path} for one: {reason}')
    if folder:
        report = dict(checkpoint=str(weights), images=listed, skipped=skipped)
        write_json(folder / RESULTS, report)
    return results, skipped


def written(result: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """Write what JSON does not hold of a result, and return the rest with the names of its files."""
    from flsl_mm.datasets.palette import write_palette_mask

    entry = dict(result, drawn=f'{name}.jpg')
    if 'label_map' in result:
        entry['label_map'] = f'{name}.png'
        write_palette_mask(folder / entry['label_map'], result['label_map'])
    return entry


def run(args: argparse.Namespace) -> None:
    """Predict, and say with which checkpoint and where the results are."""
    weights = find_weights(Path(args.source))
    say(f'checkpoint: {weights}')
    results, skipped = _predict(weights, args.images, args.out, args.score, args.config, args.device)
    model_options.report_skipped(skipped, f': all are listed in {args.out / RESULTS}')
    say(f'{len(results)} images: drawn in {args.out}, results in {args.out / RESULTS}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(run, parse_args(argv))
