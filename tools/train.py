"""Train a model with MMEngine's Runner: FLSL pretraining, or a detector or segmentor with an FLSL backbone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm import cli

if TYPE_CHECKING:
    from mmengine.config import Config

EPILOG = """examples:
  python tools/train.py configs/pretrain/flsl_vit-t16_scenes.py
  python tools/train.py configs/pretrain/flsl_vit-s16.py --cfg-options train_dataloader.dataset.data_root=/my/pictures
  python tools/train.py work_dirs/flsl_vit-s16 --resume
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'config', help='config file (Python code, executed), or with --resume a work folder that has one'
    )
    cli.add_run_options(parser)
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
    return parser.parse_args(argv)


def scale_lr(cfg: Config, wanted: bool) -> None:
    """Switch on MMEngine's learning-rate scaling, and make it count accumulated batches."""
    if wanted and not cfg.get('auto_scale_lr'):
        raise ValueError('--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config')
    if cfg.get('auto_scale_lr'):
        cfg.auto_scale_lr.enable = wanted or cfg.auto_scale_lr.get('enable', False)
        cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)


def train(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    from flsl_mm.engine.lock import locked_folder

    saved = Path(args.config).is_dir()
    if saved and not args.resume:
        raise ValueError(f'{args.config} is a folder: give a config file, or add --resume to continue the run in it')
    cfg = cli.read_config(args)
    if args.amp and 'Amp' not in cfg.optim_wrapper.get('type', 'OptimWrapper'):
        cfg.optim_wrapper.type = 'FLSLAmpOptimWrapper'
        if cfg.get('default_scope') == 'mmdet':
            # bfloat16 rounds box corners by pixels, and the compiled RoIAlign does not take it.
            cfg.optim_wrapper.setdefault('dtype', 'float16')
    if args.compile:
        cfg.merge_from_dict({'default_hooks.compile': dict(type='FLSLCompileHook')})
    if not saved:  # in a work folder's config it is done
        scale_lr(cfg, args.auto_scale_lr)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
        if cfg.load_from and not Path(cfg.load_from).is_file():
            raise FileNotFoundError(f'no checkpoint {cfg.load_from!r} to resume from')
    with locked_folder(cfg.work_dir):
        runner = cli.build_runner(cfg)
        cli.check_backbone_files(runner.model)
        runner.train()


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return cli.run(train, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
