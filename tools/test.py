"""Evaluate a checkpoint with MMEngine's Runner: detector or segmentor, or a backbone on DAVIS by label propagation."""

from __future__ import annotations

import argparse
import sys

from flsl_mm import cli

EPILOG = """examples:
  python tools/test.py configs/det/mask-rcnn_flsl-vit-s16_fpn_1x_coco.py work_dirs/mask-rcnn/epoch_12.pth
  python tools/test.py configs/vos/flsl_vit-s16_davis2017.py work_dirs/flsl_vit-s16/epoch_300_backbone.pth
  python tools/test.py configs/vos/flsl_vit-t16_scenes.py none
  python tools/test.py configs/seg/fpn_flsl-vit-t8d4_camvid.py work_dirs/fpn/epoch_20.pth --show-dir out
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file; it is Python code and is executed')
    parser.add_argument('checkpoint', help="a model's checkpoint; for DAVIS any file with a backbone; or none")
    cli.add_run_options(parser)
    parser.add_argument(
        '--keep-going', action='store_true', help='DAVIS: evaluate the other videos when one is unusable, and list it'
    )
    parser.add_argument(
        '--show-dir', metavar='FOLDER', help='detectors and segmentors: draw truth and prediction of each image there'
    )
    return parser.parse_args(argv)


def test(args: argparse.Namespace) -> None:
    """Evaluate as the command line says."""
    from flsl_mm.checkpoint import check_whole

    cfg = cli.read_config(args)
    if args.checkpoint != 'none':
        # A detector is loaded whole; a label propagator has a backbone only, whatever else the file holds.
        if 'checkpoint' in cfg.model:
            cfg.model.checkpoint = args.checkpoint
        else:
            cfg.load_from = args.checkpoint
    if args.keep_going:
        if cfg.model.type != 'FLSLLabelPropagator':
            raise ValueError('--keep-going is for DAVIS configs (configs/vos): a detector has no videos to leave out')
        cfg.test_dataloader.dataset.keep_going = True
    if args.show_dir:
        if 'visualization' not in cfg.default_hooks:
            raise ValueError('--show-dir is for detectors and segmentors; videos are drawn into the work folder anyway')
        cfg.default_hooks.visualization.draw = True
        cfg.visualizer.save_dir = args.show_dir
    runner = cli.build_runner(cfg)
    if cfg.get('load_from'):
        check_whole(runner.model, cfg.load_from)
    runner.test()


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return cli.run(test, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
