"""Train or evaluate a detector of detectron2 with an FLSL backbone, from a LazyConfig."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import command_line
from .config_files import find_config
from .parser import Parser

if TYPE_CHECKING:
    from detectron2.engine import HookBase
    from detectron2.evaluation import DatasetEvaluator
    from omegaconf import DictConfig
    from torch import nn

EPILOG = """examples:
  flsl-mm detectron2-train configs/detectron2/mask_rcnn_flsl_vit_t16_scenes.py
  flsl-mm detectron2-train configs/detectron2/mask_rcnn_flsl_vit_s16_1x_coco.py --num-gpus 4 \\
      model.backbone.bottom_up.checkpoint=work_dirs/flsl_vit-s16/epoch_300_backbone.pth
  flsl-mm detectron2-train CONFIG --resume
  flsl-mm detectron2-train CONFIG --eval-only train.init_checkpoint=work_dirs/NAME/model_final.pth
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('config', help='name of a config of ours, or a LazyConfig: a Python file (executed)')
    parser.add_argument('overrides', nargs='*', metavar='KEY=VALUE', help='entries of the config, as in hydra')
    parser.add_argument('--work-dir', help='folder for all output (default: work_dirs/<config name>)')
    parser.add_argument('--resume', action='store_true', help='continue from the last checkpoint in the work folder')
    parser.add_argument('--eval-only', action='store_true', help='evaluate the detector in train.init_checkpoint')
    parser.add_argument(
        '--allow-other-input',
        action='store_true',
        help='give the backbone images of another normalization or channel order than those of its training',
    )
    parser.add_argument('--num-gpus', type=int, default=1, help='processes on this machine, a GPU each')
    parser.add_argument('--num-machines', type=int, default=1, help='number of machines')
    parser.add_argument('--machine-rank', type=int, default=0, help='number of this machine, from 0')
    parser.add_argument('--dist-url', default='auto', help='tcp://ADDRESS:PORT of the first of several machines')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_intermixed_args(argv)


def read_config(args: argparse.Namespace) -> DictConfig:
    """Read the config and apply the options.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If an override is no ``KEY=VALUE``, or names an entry that the config does not have.
    """
    import torch
    from detectron2.config import LazyConfig
    from omegaconf import OmegaConf

    args.config = str(find_config(args.config))
    cfg = LazyConfig.load(args.config)
    missing = [name for name in ('model', 'dataloader', 'optimizer', 'lr_multiplier', 'train') if name not in cfg]
    if missing:
        raise ValueError(f'{args.config} is not a LazyConfig for training: it has no {", ".join(missing)}')
    for override in args.overrides:
        key, equals, _ = override.partition('=')
        parent, _, name = key.lstrip('+').rpartition('.')
        holder = OmegaConf.select(cfg, parent) if parent else cfg
        # Arguments of calls need not be in the config; anything else would be left unread.
        if not equals or not OmegaConf.is_dict(holder) or (name not in holder and '_target_' not in holder):
            raise ValueError(f'{override!r} is not a KEY=VALUE with an entry of the config')
    cfg = LazyConfig.apply_overrides(cfg, args.overrides)
    given = '' if cfg.train.output_dir == './output' else cfg.train.output_dir  # detectron2's default
    cfg.train.output_dir = args.work_dir or given or str(Path('work_dirs') / Path(args.config).stem)
    if cfg.train.device == 'cuda' and not torch.cuda.is_available():
        cfg.train.device = 'cpu'
    return cfg


def bottom_ups(cfg: Any) -> Iterator[DictConfig]:
    """Find the FLSL backbones in a model's config."""
    from omegaconf import DictConfig

    if isinstance(cfg, DictConfig):
        target = cfg.get('_target_')
        if 'FLSLBackbone' in (target if isinstance(target, str) else getattr(target, '__name__', '')):
            yield cfg
        for child in cfg.values():
            yield from bottom_ups(child)


def clip_gradients(max_norm: float) -> HookBase:
    """Make a hook that scales all gradients together down to a norm."""
    from detectron2.engine import HookBase
    from torch.nn.utils import clip_grad_norm_

    class ClipGradients(HookBase):
        """Clips the norm of all gradients together, after mixed precision's scale is taken out of them."""

        def after_backward(self) -> None:
            scaler = getattr(self.trainer, 'grad_scaler', None)
            if scaler is not None:
                scaler.unscale_(self.trainer.optimizer)
            clip_grad_norm_(self.trainer.model.parameters(), max_norm)

    return ClipGradients()


def check_input(args: argparse.Namespace, cfg: DictConfig, model: nn.Module) -> None:
    """Stop where images are not those of the backbone's training."""
    from flsl_mm.detectron2 import check_input

    if not args.allow_other_input:
        for part in ('test',) if args.eval_only else ('train', 'test'):
            if part in cfg.dataloader:
                check_input(model, cfg.dataloader[part].mapper.image_format)


def evaluate(cfg: DictConfig, model: nn.Module) -> dict:
    """Evaluate a detector on ``dataloader.test``, print its figures and return them.

    Raises:
        ValueError: If the config does not say with what.
    """
    from detectron2.config import instantiate
    from detectron2.evaluation import inference_on_dataset, print_csv_format

    if not {'test', 'evaluator'} <= set(cfg.dataloader):
        raise ValueError('nothing to evaluate with: the config has no dataloader.test and dataloader.evaluator')
    # In this order: data sets may register themselves when they are built.
    loader = instantiate(cfg.dataloader.test)
    evaluator = instantiate(cfg.dataloader.evaluator)
    number_annotations(evaluator)
    results = inference_on_dataset(model, loader, evaluator)
    print_csv_format(results)
    return results


def number_annotations(evaluator: DatasetEvaluator) -> None:
    """Number the objects of an evaluator of COCO's figures from 1: pycocotools takes the id 0 for one not found."""
    coco = getattr(evaluator, '_coco_api', None)
    if coco is not None:
        for number, annotation in enumerate(coco.dataset.get('annotations', []), 1):
            annotation['id'] = number
        with redirect_stdout(io.StringIO()):
            coco.createIndex()


def train(args: argparse.Namespace, cfg: DictConfig, model: nn.Module) -> None:
    """Train a detector, from its last checkpoint if the command line says so."""
    from detectron2.config import instantiate
    from detectron2.engine import AMPTrainer, SimpleTrainer, default_writers, hooks
    from detectron2.engine.defaults import create_ddp_model
    from detectron2.utils import comm

    from flsl_mm.detectron2 import LOGGER, FLSLDetectionCheckpointer

    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    loader = instantiate(cfg.dataloader.train)
    model = create_ddp_model(model, **cfg.train.ddp)
    amp = cfg.train.amp.enabled and cfg.train.device != 'cpu'
    if cfg.train.amp.enabled and not amp:
        LOGGER.info('no mixed precision without a GPU: training in float32')
    trainer = (AMPTrainer if amp else SimpleTrainer)(model, loader, optimizer)
    checkpointer = FLSLDetectionCheckpointer(model, cfg.train.output_dir, trainer=trainer)
    trainer.register_hooks(
        [
            hooks.IterationTimer(),
            hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
            clip_gradients(cfg.train.max_grad_norm) if cfg.train.get('max_grad_norm') else None,
        ]
    )
    # Checkpoints before evaluation, which may fail; figures after it, to write them too.
    if comm.is_main_process():
        trainer.register_hooks([hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer)])
    if 'evaluator' in cfg.dataloader:
        trainer.register_hooks([hooks.EvalHook(cfg.train.eval_period, lambda: evaluate(cfg, model))])
    if comm.is_main_process():
        writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
        trainer.register_hooks([hooks.PeriodicWriter(writers, period=cfg.train.log_period)])
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=args.resume)
    check_input(args, cfg, model)
    trainer.train(trainer.iter + 1 if resumes(args, cfg) else 0, cfg.train.max_iter)


def resumes(args: argparse.Namespace, cfg: DictConfig) -> bool:
    """Return whether training continues from a checkpoint in the work folder."""
    return args.resume and (Path(cfg.train.output_dir) / 'last_checkpoint').is_file()


def one_process(args: argparse.Namespace) -> None:
    """Train or evaluate as the command line says, in one of the processes of a job."""
    from detectron2.config import instantiate
    from detectron2.engine import default_setup
    from detectron2.engine.defaults import create_ddp_model

    from flsl_mm.detectron2 import FLSLDetectionCheckpointer

    cfg = read_config(args)
    if args.eval_only and not cfg.train.init_checkpoint:
        raise ValueError('--eval-only needs the detector to evaluate: add train.init_checkpoint=PATH')
    if args.resume and not args.eval_only and not resumes(args, cfg):
        raise FileNotFoundError(f'no checkpoint to resume from in {cfg.train.output_dir}: leave out --resume')
    if args.eval_only or args.resume:
        for bottom_up in bottom_ups(cfg.model):
            bottom_up.checkpoint = ''  # the detector's checkpoint has all weights, and the file may be gone
    default_setup(cfg, args)
    model = instantiate(cfg.model).to(cfg.train.device)
    check_input(args, cfg, model)
    if args.eval_only:
        FLSLDetectionCheckpointer(model).load(cfg.train.init_checkpoint)
        check_input(args, cfg, model)
        evaluate(cfg, create_ddp_model(model))
    else:
        train(args, cfg, model)


def launch(args: argparse.Namespace) -> None:
    """Start the processes of a job on this machine."""
    try:
        from detectron2.engine import launch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{error}: docs/detectron2.md says how to install detectron2') from None
    launch(one_process, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args=(args,))


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(launch, parse_args(argv), mmengine=False)
