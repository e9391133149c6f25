"""Evaluate a checkpoint with MMEngine's Runner: detector or segmentor, or a backbone on DAVIS by label propagation."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm.utils.terminal import say

from . import command_line, model_options
from .parser import Parser

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict

EPILOG = """examples:
  flsl-mm test det/mask-rcnn_flsl-vit-s16_fpn_1x_coco work_dirs/mask-rcnn/epoch_12.pth
  flsl-mm test CONFIG CHECKPOINT --show-dir images --show-score 0.5 --out detections.json
  flsl-mm test seg/fpn_flsl-vit-t8d4_camvid work_dirs/fpn/epoch_20.pth --show-dir images
  flsl-mm test vos/flsl_vit-s16_davis2017 work_dirs/flsl_vit-s16/epoch_300_backbone.pth
  flsl-mm test vos/flsl_vit-t16_scenes none
"""

OUT_SUFFIXES = ('.json', '.pkl')
"""Endings of the file of detections."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('config', help='name of a config of ours, or a config file (Python code, executed)')
    parser.add_argument('checkpoint', help="a model's checkpoint; for DAVIS any file with a backbone; or none")
    command_line.add_run_options(parser)
    parser.add_argument(
        '--keep-going', action='store_true', help='DAVIS: evaluate the other videos when one is unusable, and list it'
    )
    parser.add_argument('--show-dir', type=Path, metavar='FOLDER', help='detectors, segmentors: draw the test here')
    parser.add_argument(
        '--show-score', type=float, default=0.3, metavar='S', help='least score of what --show-dir draws (default: 0.3)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='detectors: write all detections; .json: COCO results in FILE.bbox.json, FILE.segm.json; .pkl: as mmdet',
    )
    args = parser.parse_args(argv)
    if args.out and args.out.suffix not in OUT_SUFFIXES:
        parser.error(f'--out ends in {" or ".join(OUT_SUFFIXES)}, not {args.out}')
    return args


def add_outputs(cfg: Config, show_dir: Path | None, show_score: float, out: Path | None) -> None:
    """Have the test draw its images and write its detections.

    Args:
        cfg: Config of a detector or segmentor.
        show_dir: Folder of the images, None for none.
        show_score: Least score of a detection that is drawn.
        out: File of the detections, None for none.

    Raises:
        ValueError: If the config has none of them, or no COCO metric for a JSON file.
        OSError: If one of them cannot be written.
    """
    if cfg.model.type == 'FLSLLabelPropagator':
        raise ValueError(
            '--show-dir and --out are for detectors and segmentors: DAVIS configs write all that into WORK_DIR/davis'
        )
    segments = cfg.get('default_scope') == 'mmseg'
    if segments and out:
        raise ValueError('--out is for detectors: a segmentor draws its maps with --show-dir')
    if show_dir:
        model_options.check_writable(show_dir / '.try')
    if show_dir and segments:
        # Upstream's hook draws every 50th image unless told otherwise, the fork's all.
        cfg.default_hooks.visualization.update(draw=True, interval=1)
        cfg.visualizer.save_dir = str(show_dir)
    elif show_dir:
        # mmdet joins it to the work folder, from which an absolute path leads away.
        drawing = dict(draw=True, test_out_dir=str(show_dir.resolve()), score_thr=show_score)
        cfg.default_hooks.visualization = dict(type='DetVisualizationHook', **drawing)
        load_truth(cfg)
    if out:
        model_options.check_writable(out)
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        if out.suffix == '.json':
            coco = [evaluator for evaluator in evaluators if str(evaluator['type']).endswith('CocoMetric')]
            if not coco:
                raise ValueError('--out FILE.json needs a CocoMetric among test_evaluator: name the file .pkl')
            coco[0]['outfile_prefix'] = str(out.with_suffix(''))
        else:
            evaluators = [*evaluators, dict(type='DumpDetResults', out_file_path=str(out))]
        cfg.test_evaluator = evaluators


def load_truth(cfg: Config) -> None:
    """Have a detector's test read boxes, and masks where they are evaluated: they are drawn beside the detections."""
    pipeline = cfg.test_dataloader.dataset.get('pipeline')
    if not pipeline or any('LoadAnnotations' in str(transform['type']) for transform in pipeline):
        return
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    masks = any('segm' in evaluator.get('metric', ()) for evaluator in evaluators)
    # After the image was resized, since it is drawn at its own size.
    pipeline.insert(len(pipeline) - 1, dict(type='LoadAnnotations', with_bbox=True, with_mask=masks))


def take_geometry(backbone: ConfigDict, checkpoint: str) -> None:
    """Give an ``FLSLViT`` in a config the geometry of the backbone in a file, and print what differed.

    Raises:
        CheckpointError: If the file holds no backbone, or leaves its number of heads open.
    """
    from flsl_mm.checkpoint import CheckpointError, find_backbone, read_checkpoint
    from flsl_mm.checkpoint.convert import complete_spec
    from flsl_mm.checkpoint.find import format_differences
    from flsl_mm.models import BackboneSpec

    options = ('patch_size', 'img_size', 'in_channels', 'pos_embed', 'pos_scale')
    configured = BackboneSpec.from_arch(backbone.arch, **{key: backbone[key] for key in options if key in backbone})
    try:
        found = find_backbone(read_checkpoint(checkpoint), 'teacher').spec
        heads = None
        if found.num_heads is None and found.embed_dim == configured.embed_dim:
            heads = configured.num_heads
        spec = complete_spec(found, heads, advice='set model.backbone.arch')
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint}: {error}') from None
    differing = spec.differences(configured)
    if differing:
        backbone.arch = spec.arch
        backbone.update({key: value for key in options if (value := getattr(spec, key)) is not None})
        say(f'the backbone is that of the file: {format_differences(differing, "file", "config")}')


def test(args: argparse.Namespace) -> None:
    """Evaluate as the command line says."""
    from flsl_mm.checkpoint import check_strict, class_tensors

    cfg = command_line.read_config(args)
    if cfg.get('train_cfg'):  # the work folder is the training's
        cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    if args.checkpoint != 'none':
        # A detector is loaded whole; a label propagator has a backbone only, whatever else the file holds.
        if 'checkpoint' in cfg.model:
            cfg.model.checkpoint = args.checkpoint
            given = any(key.startswith('model.backbone') for key in args.cfg_options or ())
            if cfg.model.backbone.type == 'FLSLViT' and not given:
                take_geometry(cfg.model.backbone, args.checkpoint)
        else:
            cfg.load_from = args.checkpoint
    if args.keep_going:
        if cfg.model.type != 'FLSLLabelPropagator':
            raise ValueError('--keep-going is for DAVIS configs (configs/vos): a detector has no videos to leave out')
        cfg.test_dataloader.dataset.keep_going = True
    if args.show_dir or args.out:
        if args.out:
            model_options.check_writable(args.out, args.config, args.checkpoint)
        add_outputs(cfg, args.show_dir, args.show_score, args.out)
    runner = command_line.build_runner(cfg)
    if cfg.get('load_from'):
        others = partial(class_tensors, runner.model, cfg.model)
        check_strict(runner.model, cfg.load_from, class_tensors=others, training_starts=False)
    runner.test()
    for written in sorted([*(_written(args.out) if args.out else []), *([args.show_dir] if args.show_dir else [])]):
        say(f'written: {written}')


def _written(out: Path) -> list[Path]:
    """List the files of detections: those of COCO have their kind in their names."""
    return [out] if out.suffix != '.json' else list(out.parent.glob(f'{out.stem}.*.json'))


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(test, parse_args(argv))
