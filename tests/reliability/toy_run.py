"""A whole pretraining run of the toy model in seconds: real Runner, loop, hooks, data set, sampler and loader."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config

import flsl_mm.selfsup  # noqa: F401  registers the model
from tests.pictures import picture
from tests.selfsup.toy import BACKBONE, HEAD, VIEWS

ITERATIONS, EPOCH_LENGTH = 18, 6
"""Iterations of a run, and of an epoch."""


def write_pictures(folder: Path, count: int = 25) -> Path:
    """Write ``count`` pictures; 25 make six batches of four, and one picture is left over."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(seed=i).save(folder / f'{i:03d}.png')
    return folder


def toy_config(data_root: Path, work_dir: Path, **options) -> Config:
    """Make the config of a run; ``options`` are dotted keys as on the command line, with ``__`` for the dot."""
    cfg = Config(
        dict(
            custom_imports=dict(imports=['flsl_mm', 'flsl_mm.selfsup'], allow_failed_imports=False),
            model=dict(
                type='FLSL',
                backbone=BACKBONE,
                head=HEAD,
                data_preprocessor=VIEWS,
                center_momentum=0.9,
            ),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                drop_last=True,
                collate_fn=dict(type='default_collate'),
                sampler=dict(type='FLSLSampler'),
                dataset=dict(type='FLSLImages', data_root=str(data_root), size=48),
            ),
            train_cfg=dict(type='FLSLEpochTrainLoop', max_epochs=ITERATIONS // EPOCH_LENGTH),
            optim_wrapper=dict(
                type='FLSLOptimWrapper',
                constructor='FLSLOptimWrapperConstructor',
                optimizer=dict(type='AdamW', lr=5e-3, weight_decay=0.04),
                clip_grad=dict(max_norm=3.0),
            ),
            param_scheduler=[
                dict(type='FLSLWarmupCosineLR', warmup_ratio=0.1, by_epoch=True, convert_to_iter_based=True),
                dict(
                    type='mmpretrain.CosineAnnealingWeightDecay',
                    eta_min=0.4,
                    by_epoch=True,
                    convert_to_iter_based=True,
                ),
            ],
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='FLSLCheckpointHook', by_epoch=False, interval=4, max_keep_ckpts=2),
                preemption=dict(type='FLSLPreemptionHook'),
                non_finite=dict(type='FLSLNonFiniteHook'),
                skipped_images=dict(type='FLSLSkippedImagesHook'),
                history=dict(type='FLSLHistoryHook'),
            ),
            custom_hooks=[
                dict(
                    type='FLSLScheduleHook',
                    momentum=dict(type='cosine', start=0.9, end=1.0),
                    teacher_temp=dict(type='linear', start=0.04, end=0.07, epochs=3),
                ),
                dict(type='FLSLFreezeLastLayerHook', epochs=1),
                dict(type='FLSLReseedHook'),
                dict(type='FLSLReportHook'),
                dict(type='FLSLBackboneExportHook'),
            ],
            env_cfg=dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork')),
            randomness=dict(seed=0),
            default_scope='mmpretrain',
            log_level='INFO',
            log_processor=dict(window_size=5),
            work_dir=str(work_dir),
            resume=True,
        )
    )
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg


def same(left, right) -> bool:
    """Compare nested dicts and lists of tensors and plain values bit by bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right
