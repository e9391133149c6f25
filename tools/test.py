"""Evaluate a checkpoint with MMEngine's Runner: a detector, or a backbone on DAVIS by label propagation."""

from __future__ import annotations

import argparse
import sys

from flsl_mm import cli

EPILOG = """examples:
  flsl-mm test det/mask-rcnn_flsl-vit-s16_fpn_1x_coco work_dirs/mask-rcnn/epoch_12.pth
  flsl-mm test vos/flsl_vit-s16_davis2017 work_dirs/flsl_vit-s16/epoch_300_backbone.pth
  flsl-mm test vos/flsl_vit-t16_scenes none
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='name of a config of ours, or a config file (Python code, executed)')
    parser.add_argument('checkpoint', help="a detector's checkpoint; for DAVIS any file with a backbone; or none")
    cli.add_run_options(parser)
    parser.add_argument(
        '--keep-going', action='store_true', help='DAVIS: evaluate the other videos when one is unusable, and list it'
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
    runner = cli.build_runner(cfg)
    if cfg.get('load_from'):
        check_whole(runner.model, cfg.load_from)
    runner.test()


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return cli.run(test, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
