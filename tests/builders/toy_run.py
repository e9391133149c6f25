"""Whole pretraining runs of the toy model in seconds: in this process, or from a config on files."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from flsl_mm.engine import FLSLRunner
from flsl_mm.selfsup import FLSL
from tests.builders.images import make_image
from tests.builders.toy_flsl import BACKBONE, HEAD, VIEWS, toy_model

ITERATIONS, EPOCH_LENGTH = 18, 6
"""Iterations of a run of :func:`toy_config`, and of an epoch."""
WORKERS = dict(train_dataloader__num_workers=2, train_dataloader__persistent_workers=True)
"""Options of :func:`toy_config`."""
OPTIM_WRAPPER = dict(type='FLSLOptimWrapper', constructor='FLSLOptimWrapperConstructor', clip_grad=dict(max_norm=3.0))


LOGGED = dict(
    default_hooks=dict(logger=dict(type='FLSLLoggerHook', interval=1)), log_processor=dict(type='FLSLLogProcessor')
)
"""Options of :func:`toy_runner` that log every step."""


class ToyImages(Dataset):
    """Random images; an item is a function of its virtual index."""

    def __init__(self, length: int = 8) -> None:
        self.length = length
        self.metainfo = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 48, 48), generator=generator, dtype=torch.uint8)
        return dict(inputs=image, img_path=f'image {index}')


def toy_runner(work_dir: Path, hooks: list[dict], model: FLSL | None = None, epochs: int = 2, **options) -> Runner:
    """Build a Runner that trains the toy model on 4 batches of 2 images an epoch."""
    settings = dict(
        train_dataloader=dict(dataset=ToyImages(), sampler=dict(type='FLSLSampler'), batch_size=2, num_workers=0),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(OPTIM_WRAPPER, optimizer=dict(type='AdamW', lr=1e-3)),
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'toy-{work_dir.name}',
    )
    return FLSLRunner(model or toy_model(), work_dir=str(work_dir), custom_hooks=hooks, **(settings | options))


@MODELS.register_module()
class ToyClassifier(BaseModel):
    """A body, and scores for classes; the loss falls, and is what validation gets."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.body, self.scores = nn.Linear(2, 3), nn.Linear(3, num_classes)

    def forward(self, inputs, data_samples=None, mode='loss'):
        loss = self.scores(self.body(torch.stack(inputs))).square().mean()
        return dict(loss=loss) if mode == 'loss' else [loss]


CLASSIFIER_LOADER = dict(
    dataset=[dict(inputs=torch.full((2,), float(i))) for i in range(4)],
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_size=2,
)


def classifier_runner(work_dir: Path, epochs: int, **options) -> Runner:
    """Build MMEngine's own Runner, of :class:`ToyClassifier` on two batches of two an epoch."""
    settings = dict(
        train_dataloader=CLASSIFIER_LOADER,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        experiment_name=uuid.uuid4().hex,
        log_level='ERROR',
    )
    return Runner(ToyClassifier(), str(work_dir), **(settings | options))


class Calls(Hook):
    """Calls functions of the Runner at places of a run: ``Calls(before_train=lambda runner: ...)``."""

    def __init__(self, **functions: Callable[[Runner], object]) -> None:
        for place, function in functions.items():
            setattr(self, place, lambda runner, *args, function=function, **kwargs: function(runner))


def record(model: FLSL, **getters: Callable[[FLSL], object]) -> list[dict]:
    """Have every training step append what the getters return after it."""
    rows, original = [], model.train_step

    def train_step(data, optim_wrapper):
        out = original(data, optim_wrapper)
        rows.append({name: getter(model) for name, getter in getters.items()})
        return out

    model.train_step = train_step
    return rows


def messages_of(runner: Runner, run: Callable[[], object]) -> list[str]:
    """Collect what a Runner logs."""
    records = []
    handler = logging.Handler(level=logging.INFO)
    handler.emit = lambda entry: records.append(entry.getMessage())
    runner.logger.addHandler(handler)
    runner.logger.setLevel(logging.INFO)
    run()
    return records


def write_images(folder: Path, count: int = 25) -> Path:
    """Write ``count`` images; 25 make six batches of four, and one image is left over."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        make_image(seed=i).save(folder / f'{i:03d}.png')
    return folder


def toy_config(data_root: Path, work_dir: Path, **options) -> Config:
    """Make the config of a run; ``options`` are dotted keys as on the command line, with ``__`` for the dot."""
    cfg = Config(
        dict(
            custom_imports=dict(imports=['flsl_mm', 'flsl_mm.selfsup'], allow_failed_imports=False),
            model=dict(type='FLSL', backbone=BACKBONE, head=HEAD, data_preprocessor=VIEWS, center_momentum=0.9),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                drop_last=True,
                collate_fn=dict(type='default_collate'),
                sampler=dict(type='FLSLSampler'),
                dataset=dict(type='FLSLImages', data_root=str(data_root), size=48),
            ),
            train_cfg=dict(type='FLSLEpochTrainLoop', max_epochs=ITERATIONS // EPOCH_LENGTH),
            optim_wrapper=dict(OPTIM_WRAPPER, optimizer=dict(type='AdamW', lr=5e-3, weight_decay=0.04)),
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
                logger=dict(type='FLSLLoggerHook', interval=1),
                checkpoint=dict(type='FLSLCheckpointHook', by_epoch=False, interval=4, max_keep_ckpts=2),
                preemption=dict(type='FLSLPreemptionHook'),
                non_finite=dict(type='FLSLNonFiniteHook'),
                schedule=dict(
                    type='FLSLScheduleHook',
                    momentum=dict(type='cosine', start=0.9, end=1.0),
                    teacher_temp=dict(type='linear', start=0.04, end=0.07, epochs=3),
                ),
                freeze_last_layer=dict(type='FLSLFreezeLastLayerHook', epochs=1),
                collapse=dict(type='FLSLCollapseHook'),
            ),
            env_cfg=dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork')),
            randomness=dict(seed=0),
            default_scope='mmpretrain',
            log_level='INFO',
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='FLSLVisBackend')]),
            log_processor=dict(type='FLSLLogProcessor', window_size=5),
            work_dir=str(work_dir),
            resume=True,
        )
    )
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg
