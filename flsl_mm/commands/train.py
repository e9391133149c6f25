"""Train a model with MMEngine's Runner: FLSL pretraining, or a detector or segmentor with an FLSL backbone."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm.utils.terminal import say

from . import command_line
from .parser import Parser

if TYPE_CHECKING:
    from mmengine.config import Config

EPILOG = """examples:
  flsl-mm train pretrain/flsl_vit-t8d4_scenes
  flsl-mm train pretrain/flsl_vit-s16 --cfg-options train_dataloader.dataset.data_root=/my/images
  flsl-mm train --auto /my/images
  flsl-mm train work_dirs/flsl_vit-s16 --resume
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
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
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue a run: from the newest checkpoint in the work folder (auto, the default) or from PATH',
    )
    earlier.add_argument(
        '--overwrite', action='store_true', help='remove the files of an earlier run in the work folder, and start anew'
    )
    parser.add_argument(
        '--load-from',
        metavar='FILE',
        help='start from the weights of a whole model; layers for another number of classes start anew',
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
    from flsl_mm.engine.launch import process_of

    from .auto_recipe import choose_recipe, inspect_folder

    process = process_of(args.launcher)
    recipe = choose_recipe(inspect_folder(args.auto, process.count))
    options = {'train_dataloader.dataset.data_root': args.auto, **recipe.options}
    args.config, args.cfg_options = recipe.config, options | (args.cfg_options or {})
    folder = Path(args.auto).resolve().name
    args.work_dir = args.work_dir or str(Path('work_dirs') / f'{Path(recipe.config).name}_{folder}')
    if process.rank > 0:
        return
    say(f'chosen for {args.auto}', *(f'  {reason}' for reason in recipe.reasons))
    changes = [f'{key}={value}' for key, value in args.cfg_options.items()]
    command = shlex.join([recipe.config, '--work-dir', args.work_dir, '--cfg-options', *changes])
    say(f'the same again: flsl-mm train {command}')


def files_to_replace(cfg: Config, overwrite: bool) -> list[Path]:
    """List what an earlier run has left in the work folder and in that of the checkpoints, if it may be removed.

    Args:
        cfg: The config of the run.
        overwrite: Whether it may.

    Raises:
        FileExistsError: If there is a checkpoint of an earlier run, and it is not to be removed.
        ValueError: If the weights to start from are among what is to be removed.
        BlockingIOError: If that run still trains.
    """
    from flsl_mm.engine.resume import newest_first
    from flsl_mm.utils.work_folder import earlier_files, locked_folder

    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folders = [Path(cfg.work_dir)]
    if hook.get('out_dir'):
        folders.append(Path(hook['out_dir']) / folders[0].name)
    checkpoints = [path for folder in folders for path in newest_first(folder, epoch_length=1)]
    if checkpoints and not overwrite:
        raise FileExistsError(
            f'{cfg.work_dir} has files of an earlier run, {checkpoints[0].name} for one: --resume continues that run, '
            '--overwrite removes its files, --work-dir chooses another folder'
        )
    if overwrite and cfg.get('load_from') and Path(cfg.load_from).resolve().parent in [f.resolve() for f in folders]:
        raise ValueError(f'--overwrite would remove {cfg.load_from}, the file to start from: choose another --work-dir')
    found = []
    for folder in filter(Path.is_dir, folders if overwrite else ()):
        with locked_folder(folder):
            found += earlier_files(folder)
    return found


def train(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    from flsl_mm.checkpoint import local_file
    from flsl_mm.engine.backends import VIEWERS, add_vis_backend
    from flsl_mm.engine.launch import process_of

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
    if args.load_from:
        if args.resume:
            raise ValueError('--resume continues a run, --load-from starts another one from weights: give one of them')
        cfg.load_from = args.load_from
    if cfg.get('load_from') and not args.resume:
        local_file(cfg.load_from)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
        if cfg.load_from and not Path(cfg.load_from).is_file():
            raise FileNotFoundError(f'no checkpoint {cfg.load_from!r} to resume from')
    replaced = []
    if not (args.resume or cfg.get('resume')):
        command_line.make_work_folder(cfg.work_dir)
        if process_of(args.launcher).rank == 0:
            replaced = files_to_replace(cfg, args.overwrite)
    runner = command_line.build_runner(cfg)
    if replaced:
        from flsl_mm.engine.hooks import ReplaceHook

        runner.register_hook(ReplaceHook(replaced))
    runner.train()


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(train, parse_args(argv))
