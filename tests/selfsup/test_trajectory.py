"""Six recorded training steps through the real model, optimizer wrapper, schedulers, hooks and Runner."""

import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.runner import Runner
from torch import Tensor

from flsl_mm.selfsup import FLSL
from flsl_mm.selfsup.crops import Crops
from tests.builders.reference import backbone_config, cosine_end, head_config, load, noise

PARTS = ('backbone.', 'head.')


class RecordedViews(BaseDataPreprocessor):
    """Gives the views of the next recorded step, whatever the data loader brought."""

    clean_views = False

    def __init__(self, steps: list[list[Tensor]]) -> None:
        super().__init__()
        self.steps = iter(steps)
        self.crops = [Crops(1, view.shape[-1], (1, 1), window=1) for view in steps[0][1:]]

    def forward(self, data: list, training: bool = False) -> dict:
        return dict(inputs=dict(views=next(self.steps)))


def split(recorded: dict, name: str) -> dict[str, Tensor]:
    renamed = {'weight_g': 'parametrizations.weight.original0', 'weight_v': 'parametrizations.weight.original1'}
    state = {}
    for key, value in recorded.items():
        if key.startswith(f'{name}.') and not key.endswith('cls_token'):
            stem, _, leaf = key.removeprefix(f'{name}.').rpartition('.')
            state[f'{stem}.{renamed.get(leaf, leaf)}'] = torch.from_numpy(value)
    return state


def recorded_views(recorded: dict, patch_size: int) -> list[list[Tensor]]:
    steps, batch_size = recorded['masks_0'].shape[:2]
    tokens = [recorded['init.backbone.pos_embed'].shape[1]] + [recorded[f'masks_{i}'].shape[-1] for i in range(3)]
    shapes = [(batch_size, 3, round(count**0.5) * patch_size, round(count**0.5) * patch_size) for count in tokens]
    base = int(recorded['view_seed_base'])
    return [[noise(base + 10 * step + i, shape) for i, shape in enumerate(shapes)] for step in range(steps)]


def build_model(recorded: dict) -> FLSL:
    state = split(recorded, 'init')
    parts = [{key.removeprefix(at): value for key, value in state.items() if key.startswith(at)} for at in PARTS]
    backbone = dict(backbone_config(parts[0]), type='FLSLViT')
    views = recorded_views(recorded, backbone['patch_size'])
    head = dict(head_config(parts[1]), type='FLSLHead')
    model = FLSL(backbone, head, RecordedViews(views), self_scale=0.1, cross_scale=0.2)
    model.backbone.load_state_dict(parts[0])
    model.head.load_state_dict(parts[1])
    masks = iter([mask for step in zip(*(recorded[f'masks_{i}'] for i in range(3)), strict=True) for mask in step])

    batch_size = recorded['masks_0'].shape[1]

    def recorded_queries(tokens: Tensor, window: int) -> Tensor:
        mask = torch.from_numpy(np.concatenate([next(masks) for _ in range(len(tokens) // batch_size)]))
        return mask.nonzero()[:, 1].view(len(mask), -1)

    model.sample = recorded_queries
    return model


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Train on the recorded views; returns (recording, model, values of each step)."""
    recorded = load('training_trajectory')
    model = build_model(recorded)
    steps, lr, temperatures = len(recorded['lr']), recorded['lr'], recorded['teacher_temp']
    schedules = dict(
        momentum=dict(type='cosine', start=float(recorded['teacher_momentum'][0]), end=1.0),
        teacher_temp=dict(
            type='linear', start=temperatures[0], end=temperatures[-1], epochs=int(temperatures.argmax()) + 1
        ),
    )
    warmup = int(lr.argmax()) + 1
    lr_schedule = dict(type='FLSLWarmupCosineLR', warmup_ratio=warmup / steps, eta_min=cosine_end(lr[warmup:]))
    decay_schedule = dict(type='mmpretrain.CosineAnnealingWeightDecay', eta_min=cosine_end(recorded['weight_decay']))
    rows = []

    def recording_step(data: list, optim_wrapper) -> dict:
        groups = optim_wrapper.optimizer.param_groups
        row = dict(lr=groups[0]['lr'], weight_decay=groups[0]['weight_decay'], bias_decay=groups[1]['weight_decay'])
        row |= dict(teacher_momentum=model.momentum, teacher_temp=model.teacher_temp)
        losses = FLSL.train_step(model, data, optim_wrapper)
        row |= {key: float(value.detach()) for key, value in losses.items()}
        rows.append(row | dict(grad_norm=runner.message_hub.get_scalar('train/grad_norm').current()))
        return losses

    model.train_step = recording_step
    runner = Runner(
        model,
        work_dir=str(tmp_path_factory.mktemp('trajectory')),
        train_dataloader=dict(
            dataset=[torch.zeros(1)], sampler=dict(type='DefaultSampler', shuffle=False), batch_size=1
        ),
        train_cfg=dict(by_epoch=True, max_epochs=steps),
        optim_wrapper=dict(
            type='FLSLOptimWrapper',
            constructor='FLSLOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=float(lr.max()), weight_decay=float(recorded['weight_decay'][0])),
            clip_grad=dict(max_norm=3.0),
        ),
        param_scheduler=[dict(schedule, convert_to_iter_based=True) for schedule in (lr_schedule, decay_schedule)],
        custom_hooks=[dict(type='FLSLScheduleHook', **schedules), dict(type='FLSLFreezeLastLayerHook', epochs=1)],
        default_hooks=dict(checkpoint=None, logger=None),
        log_level='WARNING',
        experiment_name='trajectory',
    )
    runner.train()
    return recorded, model, rows


@pytest.mark.recorded
@pytest.mark.parametrize('name', ['lr', 'weight_decay', 'teacher_momentum', 'teacher_temp'])
def test_schedules_through_the_runner(finished, name):
    recorded, _, rows = finished
    np.testing.assert_allclose([row[name] for row in rows], recorded[name], rtol=1e-6, atol=1e-9)
    assert all(row['bias_decay'] == 0 for row in rows)


@pytest.mark.recorded
@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [('loss', 'total'), ('intra', 'intra'), ('inter', 'inter'), ('volume', 'vmr'), ('grad_norm', 'grad_norm_mean')],
)
def test_losses_of_each_step(finished, ours, theirs):
    recorded, _, rows = finished
    np.testing.assert_allclose([row[ours] for row in rows], recorded[theirs], rtol=1e-4)


@pytest.mark.recorded
@pytest.mark.parametrize('name', ['student', 'teacher'])
def test_weights_after_training(finished, name):
    recorded, model, _ = finished
    source = model if name == 'student' else model.teacher
    ours = source.state_dict()
    expected = split(recorded, f'final_{name}')
    for key, value in expected.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-4, msg=lambda text, key=key: f'{key}: {text}')
    start = split(recorded, 'init')
    moved = max(float((ours[key] - start[key]).abs().max()) for key in expected)
    assert moved > 5e-4, 'nothing was trained'
