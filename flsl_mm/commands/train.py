"""Train a model with MMEngine's Runner: FLSL pretraining, or a detector or segmentor with an FLSL backbone."""

from __future__ import annotations

import argparse
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from . import command_line

if TYPE_CHECKING:
    from mmengine.config import Config

EPILOG = """examples:
  flsl-mm train pretrain/flsl_vit-t16_scenes
  flsl-mm train pretrain/flsl_vit-s16 --cfg-options train_dataloader.dataset.data_root=/my/images
  flsl-mm train --auto /my/images
  flsl-mm train work_dirs/flsl_vit-s16 --resume
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'config',
        nargs='?',
        help='name of a config of ours (flsl-mm lists them), a config file (Python code, executed), or with --resume a '
        'work folder that has one',
    )
    parser.add_argument(
        '--auto',
        metavar='FOLDER',
        help='instead of a config: choose a pretraining recipe for the images in FOLDER and this machine and train',
    )
    command_line.add_run_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue a run: from the newest checkpoint in the work folder (auto, the default) or from PATH',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision where there is an accelerator: bfloat16, detectors float16'
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the transformer blocks (torch.compile); changes rounding',
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch, from auto_scale_lr'
    )
    parser.add_argument('--tensorboard', action='store_true', help='write curves for TensorBoard, too')
    parser.add_argument('--wandb', action='store_true', help='send curves to Weights & Biases, too')
    return parser.parse_args(argv)


def scale_lr(cfg: Config, wanted: bool) -> None:
    """Switch on MMEngine's learning-rate scaling, and make it count accumulated batches."""
    if wanted and not cfg.get('auto_scale_lr'):
        raise ValueError('--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config')
    if cfg.get('auto_scale_lr'):
        cfg.auto_scale_lr.enable = wanted or cfg.auto_scale_lr.get('enable', False)
        cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)


def choose(args: argparse.Namespace) -> None:
    """Put the recipe for a folder of images into the options; those that are given win over it."""
    from .auto_recipe import choose_recipe, inspect_folder

    recipe = choose_recipe(inspect_folder(args.auto))
    options = {'train_dataloader.dataset.data_root': args.auto, **recipe.options}
    args.config, args.cfg_options = recipe.config, options | (args.cfg_options or {})
    folder = Path(args.auto).resolve().name
    args.work_dir = args.work_dir or str(Path('work_dirs') / f'{Path(recipe.config).name}_{folder}')
    if command_line.process_name() and not command_line.process_name().startswith(' in rank 0 '):
        return
    print('chosen for ' + '\n  '.join([args.auto, *recipe.reasons]))
    if len(args.auto.split()) == 1:  # MMEngine takes spaces out of the values of --cfg-options
        changes = ' '.join(shlex.quote(f'{key}={value}') for key, value in args.cfg_options.items())
        print(f'the same again: flsl-mm train {recipe.config} --work-dir {args.work_dir} --cfg-options {changes}')


def train(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    from flsl_mm.engine.vis_backend import VIEWERS, add_vis_backend

    if (args.config is None) == (args.auto is None):
        raise ValueError('give either a config (flsl-mm lists them) or --auto FOLDER')
    if args.auto is not None:
        choose(args)
    saved = Path(args.config).is_dir()
    if saved and not args.resume:
        raise ValueError(f'{args.config} is a folder: give a config file, or add --resume to continue the run in it')
    cfg = command_line.read_config(args)
    if args.amp and 'Amp' not in cfg.optim_wrapper.get('type', 'OptimWrapper'):
        cfg.optim_wrapper.type = 'FLSLAmpOptimWrapper'
        if cfg.get('default_scope') == 'mmdet':
            # bfloat16 rounds box corners by pixels, and the compiled RoIAlign does not take it.
            cfg.optim_wrapper.setdefault('dtype', 'float16')
    if args.compile:
        cfg.merge_from_dict({'default_hooks.compile': dict(type='FLSLCompileHook')})
    if not saved:  # in a work folder's config it is done
        scale_lr(cfg, args.auto_scale_lr)
    for viewer in VIEWERS:
        if getattr(args, viewer):
            add_vis_backend(cfg, viewer)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
        if cfg.load_from and not Path(cfg.load_from).is_file():
            raise FileNotFoundError(f'no checkpoint {cfg.load_from!r} to resume from')
    saved_in = Path(cfg.work_dir)
    if not args.resume and (found := sorted(saved_in.glob('*[0-9].pth'))):
        warnings.warn(
            f'{saved_in} has files of an earlier run, {found[-1].name} for one, which this run overwrites: --resume '
            'continues that run, --work-dir chooses another folder',
            stacklevel=1,
        )
    command_line.build_runner(cfg).train()


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(train, parse_args(argv))
