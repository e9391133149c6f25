"""Draw what pretraining feeds the network: teacher view, crops and their boxes, jitter, sampled queries."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm.utils.terminal import say

from . import command_line, model_options
from .config_files import find_config
from .config_options import ConfigOptions, check_options
from .model_options import positive
from .parser import Parser
from .quiet import read_config_quietly

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import Tensor
    from torch.utils.data import Dataset

    from flsl_mm.selfsup.views import FLSLDataPreprocessor
    from flsl_mm.visualization.sheet import Row

EPILOG = """examples:
  flsl-mm show-views /my/images
  flsl-mm show-views /my/images --config pretrain/flsl_vit-t8d4_small --images 8 --out views.png
  flsl-mm show-views /my/images --cfg-options model.data_preprocessor.local_crops.num=6

A row for each image: the image of the loader with the boxes of all crops; the teacher view as the teacher gets it;
each crop as the student gets it, darkened but for the patches that are queries.
"""

SIDE = 224
"""Side in pixels at which views are drawn."""

COLORS = ((230, 40, 40), (30, 120, 255), (30, 170, 60), (240, 150, 0), (170, 60, 200), (0, 180, 180))
"""Of the crops, in their order."""

TEACHER_COLOR = (255, 220, 0)
"""Of the teacher view, where it is a crop."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('folder', metavar='FOLDER', help='images, flat or nested')
    parser.add_argument(
        '--config', default='pretrain/flsl_vit-s16', help='pretraining config (default: pretrain/flsl_vit-s16)'
    )
    parser.add_argument('--out', type=Path, default=Path('views.png'), metavar='PNG', help='default: views.png')
    parser.add_argument('--images', type=positive, default=4, metavar='N', help='images that are drawn (default: 4)')
    parser.add_argument('--seed', type=int, default=0, help='of crops, jitter and queries (default: 0)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='as of flsl-mm train'
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args(argv)
    if args.out.suffix.lower() != '.png':
        parser.error(f'--out is a .png file, not {args.out}')
    return args


def read_pretraining(args: argparse.Namespace) -> Config:
    """Read the config with its options, and put the folder into it.

    Raises:
        ValueError: If it is no pretraining config.
    """
    cfg = read_config_quietly(str(find_config(args.config)))
    if args.cfg_options:
        check_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    preprocessor = cfg.get('model', {}).get('data_preprocessor') or {}
    if preprocessor.get('type') != 'FLSLDataPreprocessor':
        raise ValueError(f'{args.config} has no FLSLDataPreprocessor: give a pretraining config (flsl-mm lists them)')
    dataset = cfg.train_dataloader.dataset
    if 'data_root' not in dataset:  # scenes: their views, of the folder's images
        scale = dataset.get('scale', (0.8, 1.0))
        cfg.train_dataloader.dataset = dict(type='FLSLImages', size=dataset.get('view_size', 224), scale=scale)
    cfg.train_dataloader.dataset.update(data_root=args.folder, seed=args.seed)
    return cfg


def draw_rows(cfg: Config, dataset: Dataset, num: int, seed: int) -> list[Row]:
    """Make the views of some images, at equal distances in the data set, and draw a row for each."""
    import torch
    from mmengine.registry import MODELS, TASK_UTILS

    from flsl_mm.selfsup.option_checks import check_views
    from flsl_mm.visualization.sheet import Row

    indices = torch.linspace(0, len(dataset) - 1, min(num, len(dataset))).long().tolist()
    items = [dataset[index] for index in indices]
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    backbone = MODELS.build(cfg.model.backbone)
    check_views(preprocessor, backbone.patch_size, needs_clean=False)
    default = dict(type='FLSLWindowQueries', member=cfg.model.get('window_member', 'random'))
    sampler = TASK_UTILS.build(cfg.model.get('query_sampler') or default)
    torch.manual_seed(seed)
    whole, boxes, views = make_views(preprocessor, torch.stack([item['inputs'] for item in items]), seed)
    queries = []
    for crops in preprocessor.crops:
        side = crops.size // backbone.patch_size
        tokens = torch.zeros(len(items), side**2, backbone.embed_dim)
        chosen = torch.zeros(len(items), side**2, dtype=torch.bool)
        queries.append(chosen.scatter_(1, sampler(tokens, (side, side), crops.window), True).unflatten(1, (side, side)))
    rows = []
    for number, item in enumerate(items):
        of_image = [[each[number] for each in kind] for kind in (boxes, views, queries)]
        rows.append(Row(item['img_path'], panels(whole[number], *of_image)))
    return rows


def make_views(
    preprocessor: FLSLDataPreprocessor, images: Tensor, seed: int
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Make the views of images (B, 3, S, S), uint8, as the training does.

    Returns:
        The images (B, 3, S, S), 0 to 1, mirrored where the training mirrors them; left, top, width and height of each
        view, teacher first, as parts of the image (B, 4), or (1, 4) where a view is the whole of it; the views with
        jitter, teacher first.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        whole = preprocessor.flip(images.float() / 255, generator)
        windows = preprocessor.draw_windows(whole, generator)
        jittered = preprocessor.jitter(preprocessor.crop(whole, windows), generator)
    shown = [(view * preprocessor.std + preprocessor.mean).clamp(0, 1) for view in jittered]
    boxes = [(window / images.shape[-1]).expand(len(images), 4) for window in windows]
    return whole, boxes, shown


def panels(image: Tensor, boxes: list[Tensor], views: list[Tensor], queries: list[Tensor]) -> list:
    """Draw the image and its views; boxes, as parts of the image, and views begin with the teacher's."""
    from flsl_mm.visualization.panels import mark_boxes, mark_patches
    from flsl_mm.visualization.sheet import Panel

    colors = [COLORS[number % len(COLORS)] for number in range(len(queries))]
    what, seen = 'teacher view', _pixels(views[0])
    if boxes[0].tolist() == [0, 0, 1, 1]:
        boxes = boxes[1:]
        marked = mark_boxes(_pixels(image), boxes, colors)
    else:
        what = f'image of {image.shape[-1]} pixels'
        marked = mark_boxes(_pixels(image), boxes, [TEACHER_COLOR, *colors])
        seen = mark_boxes(seen, [(0, 0, 1, 1)], [TEACHER_COLOR])
    drawn = [
        Panel(f'{what}\nwith the boxes of the crops', marked),
        Panel(f'the teacher gets\n{views[0].shape[-1]} pixels', seen),
    ]
    for view, chosen, color in zip(views[1:], queries, colors, strict=True):
        title = f'the student gets\n{view.shape[-1]} pixels, {int(chosen.sum())} queries of {chosen.numel()} patches'
        marked = mark_patches(_pixels(view), chosen.numpy())
        drawn.append(Panel(title, mark_boxes(marked, [(0, 0, 1, 1)], [color])))
    return drawn


def _pixels(view: Tensor):
    """Bring a view (3, S, S), 0 to 1, to the size at which it is drawn, (H, W, 3), uint8."""
    from torchvision.transforms import functional as TF

    pixels = (255 * view).round().byte()
    return TF.resize(pixels, [SIDE, SIDE], antialias=True).permute(1, 2, 0).numpy()


def show_views(args: argparse.Namespace) -> None:
    """Draw, warn of small images, and say where the sheet is."""
    from mmengine.logging import MMLogger
    from mmengine.registry import DATASETS

    from flsl_mm.datasets.small_images import small_images_line
    from flsl_mm.utils.console import use_short_lines
    from flsl_mm.visualization.sheet import write_sheet

    model_options.check_writable(args.out)
    cfg = read_pretraining(args)  # imports what is built below
    use_short_lines(MMLogger.get_current_instance())
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    rows = draw_rows(cfg, dataset, args.images, args.seed)
    write_sheet(args.out, rows)
    if line := small_images_line(dataset):
        say(f'warning: {line}', error=True)
    say(f'{len(rows)} of {len(dataset):,} images as {args.config} sees them: open {args.out}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(show_views, parse_args(argv))
