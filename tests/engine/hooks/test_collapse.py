"""The verdict of real runs: healthy, collapsed in several ways, too short; and a measurement changes nothing."""

import json
import math

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from flsl_mm.engine.hooks import FLSLCollapseHook
from tests.builders.images import make_image
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import OPTIM_WRAPPER, messages_of, toy_runner


class ToyImages(Dataset):
    """Images of a few objects, or black ones."""

    metainfo = {}

    def __init__(self, black: bool = False) -> None:
        images = [torch.from_numpy(np.array(make_image(48, 48, seed))).permute(2, 0, 1) for seed in range(24)]
        self.images = [torch.zeros_like(image) if black else image for image in images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.images[index % len(self)], img_path=str(index))


def trained(tmp_path, black=False, epochs=40, lr=1e-2, **options):
    """Train the toy model on 3 batches of 8 images an epoch; returns the lines of the log and what was written."""
    loader = dict(dataset=ToyImages(black), sampler=dict(type='FLSLSampler'), batch_size=8, num_workers=0)
    optimizer = dict(OPTIM_WRAPPER, optimizer=dict(type='AdamW', lr=lr))
    settings = dict(teacher_temp=0.02, momentum=0.9, volume_weight=0.0, self_scale=2.0, cross_scale=4.0)
    model = toy_model(**(settings | options))
    runner = toy_runner(tmp_path, [FLSLCollapseHook()], model, epochs, train_dataloader=loader, optim_wrapper=optimizer)
    lines = messages_of(runner, runner.train)
    written = json.loads((tmp_path / 'verdict.json').read_text())
    (line,) = [line for line in lines if line.startswith('Verdict: ')]
    assert line.startswith(f'Verdict: {written["verdict"]}\n')
    assert runner.message_hub.get_info('verdict') == written['verdict']
    return lines, written


def test_healthy(tmp_path):
    lines, written = trained(tmp_path, assignment='sinkhorn', anchor_width=0.12)
    assert written['verdict'] == 'healthy'
    assert len(written['measurements']) == 21
    assert not [line for line in lines if line.startswith('step ')]


def test_too_short_and_measurements_fit_the_length_of_the_run(tmp_path):
    _, written = trained(tmp_path, epochs=10, assignment='sinkhorn', anchor_width=0.12)
    assert written['verdict'] == 'too short to tell: 30 steps'
    assert [measurement['step'] for measurement in written['measurements']] == [1, *range(2, 31)]
    assert all(math.isfinite(value) for measurement in written['measurements'] for value in measurement.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ('options', 'symptom'),
    [
        (dict(lr=100.0, assignment='sinkhorn', anchor_width=0.12), 'above chance level'),
        (dict(lr=2e-2, self_scale=0.1, cross_scale=0.2), 'few prototypes'),
        (dict(black=True, assignment='sinkhorn', anchor_width=0.12), 'images alike'),
    ],
    ids=['learning rate x 10^4', 'nothing against collapse', 'black images'],
)
def test_collapsed(tmp_path, options, symptom):
    lines, written = trained(tmp_path, **options)
    assert written['verdict'].startswith('collapsed: ')
    assert symptom in written['verdict']
    # Each symptom is warned of once while the run continues, with the setting to change.
    warned = [line for line in lines if line.startswith('step ') and f': {symptom}: ' in line]
    assert len(warned) == 1
