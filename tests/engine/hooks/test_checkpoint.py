"""A run that continues in another folder leaves the files of the first one alone."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

from flsl_mm.checkpoint import read_checkpoint
from flsl_mm.engine.hooks.checkpoint import remove_own
from flsl_mm.engine.safe_loading import safe_mmengine_loading


class Toy(BaseModel):
    """One linear layer whose loss falls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, data_samples=None, mode='loss'):
        loss = self.layer(torch.stack(inputs)).square().mean()
        return dict(loss=loss) if mode == 'loss' else [loss]


class Growing(BaseMetric):
    """Scores that are better at each validation than ever before."""

    score = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        Growing.score += 1
        return dict(auc=Growing.score, acc=Growing.score)


def train(work_dir: Path, epochs: int, save_best, **options) -> Runner:
    """Train with a validation after each epoch."""
    dataset = [dict(inputs=torch.full((2,), float(i))) for i in range(4)]
    loader = dict(dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False), batch_size=2)
    checkpoint = dict(type='FLSLCheckpointHook', interval=1, max_keep_ckpts=2, save_best=save_best)
    runner = Runner(
        Toy(),
        str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=[Growing()],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=dict(),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=checkpoint),
        experiment_name=uuid.uuid4().hex,
        log_level='ERROR',
        **options,
    )
    with safe_mmengine_loading():
        runner.train()
    return runner


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


@pytest.mark.parametrize('metrics', [['auc'], ['auc', 'acc']])
@pytest.mark.parametrize('copied', [True, False])
def test_original_keeps_its_best_checkpoint(metrics, copied, tmp_path):
    original, other = tmp_path / 'original', tmp_path / 'other'
    train(original, 1, metrics)
    before = files(original)
    assert {f'best_{metric}_epoch_1.pth' for metric in metrics} <= set(before)
    if copied:
        shutil.copytree(original, other)
        train(other, 2, metrics, resume=True)
    else:
        train(other, 2, metrics, resume=True, load_from=str(original / 'epoch_1.pth'))
    assert files(original) == before
    # The copy's own best one of the first epoch is replaced.
    kept = ['epoch_1.pth', 'epoch_2.pth'] if copied else ['epoch_2.pth']
    assert files(other) == sorted([f'best_{metric}_epoch_2.pth' for metric in metrics] + kept)
    info = read_checkpoint(other / 'epoch_2.pth')['message_hub']['runtime_info']
    assert info['keep_ckpt_ids'] == ([1, 2] if copied else [2])
    assert info['last_ckpt'] == str(other / 'epoch_2.pth')


def test_a_checkpoint_that_a_kill_kept_is_removed_by_the_next_start(tmp_path):
    """Killed after the third one was there and before the first was gone."""
    train(tmp_path, 1, None)
    first = (tmp_path / 'epoch_1.pth').read_bytes()
    train(tmp_path, 3, None, resume=True)
    assert files(tmp_path) == ['epoch_2.pth', 'epoch_3.pth']
    (tmp_path / 'epoch_1.pth').write_bytes(first)
    (tmp_path / 'epoch_9_of_mine.pth').write_bytes(first)
    train(tmp_path, 4, None, resume=True)
    assert files(tmp_path) == ['epoch_3.pth', 'epoch_4.pth', 'epoch_9_of_mine.pth']


@pytest.mark.parametrize('names', ['epoch_1.pth', ['../epoch_1.pth', '/epoch_1.pth', 'best_1.pth', 7], None])
def test_only_own_checkpoints_of_the_folder_are_removed(tmp_path, names):
    (tmp_path / 'work').mkdir()
    for path in (tmp_path / 'epoch_1.pth', tmp_path / 'work' / 'best_1.pth', tmp_path / 'work' / 'epoch_1.pth'):
        path.touch()
    remove_own(tmp_path / 'work', names)
    assert len([*tmp_path.rglob('*.pth')]) == 3
    remove_own(tmp_path / 'work', ['epoch_1.pth'])
    assert len([*tmp_path.rglob('*.pth')]) == 2
