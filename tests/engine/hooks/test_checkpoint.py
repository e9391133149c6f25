"""A run that continues in another folder leaves the files of the first one alone."""

import re
import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from flsl_mm.checkpoint import read_checkpoint
from flsl_mm.engine.hooks.checkpoint import regular_names, remove_regular, restrict_to_own_files
from flsl_mm.engine.safe_loading import safe_mmengine_loading
from tests.builders.checkpoints import same
from tests.builders.nonsense import nonsense
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import CLASSIFIER_LOADER, Calls, classifier_runner, toy_runner


class Growing(BaseMetric):
    score = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        Growing.score += 1
        return dict(auc=Growing.score, acc=Growing.score)


def train(work_dir: Path, epochs: int, save_best, **options) -> Runner:
    checkpoint = dict(type='FLSLCheckpointHook', interval=1, max_keep_ckpts=2, save_best=save_best)
    validation = dict(val_dataloader=CLASSIFIER_LOADER, val_evaluator=[Growing()], val_cfg=dict())
    options['default_hooks'] = dict(checkpoint=checkpoint)
    runner = classifier_runner(work_dir, epochs, **validation, **options)
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


HARMFUL = {
    'preempted': lambda path: [str(path), f'../{path.name}', f'../../{path.parent.name}/{path.name}', 'notes.txt'],
    'keep_ckpt_ids': lambda path: [*(f'{way}/../{path.stem}' for way in ('x/..', '/..', '.')), 1.5, True, -1],
    'best_ckpt': str,
}


@pytest.mark.parametrize('here', [True, False], ids=['own folder', 'foreign folder'])
@pytest.mark.parametrize('entry', HARMFUL)
def test_a_resumed_checkpoint_removes_nothing_of_others(entry, here, tmp_path):
    """Names in it were removed, wherever they led."""
    work_dir = tmp_path / 'work'
    train(work_dir, 1, 'auc')
    victim = tmp_path / 'victim.pth'
    content = read_checkpoint(work_dir / 'epoch_1.pth')
    content['message_hub']['runtime_info'][entry] = HARMFUL[entry](victim)
    content['message_hub']['runtime_info']['best_score'] = -1
    source = (work_dir if here else tmp_path) / 'epoch_1.pth'
    torch.save(content, source)
    (tmp_path / 'x').mkdir()
    watched = [victim, work_dir / 'notes.txt', work_dir / victim.name, tmp_path / 'epoch_victim.pth']
    for path in watched:
        path.write_text('precious')
    other = work_dir if here else tmp_path / 'other'
    train(other, 3, 'auc', resume=True, load_from=str(source))
    assert all(path.is_file() for path in watched)
    assert 'epoch_3.pth' in files(other)


def test_lists_of_a_foreign_folder_are_dropped(tmp_path):
    """The same names may belong to others here."""
    train(tmp_path / 'first', 1, None)
    content = read_checkpoint(tmp_path / 'first' / 'epoch_1.pth')
    content['message_hub']['runtime_info'].update(
        preempted=['preempted_iter_9.pth'], keep_ckpt_ids=[7, 8], outdated=['epoch_6.pth']
    )
    torch.save(content, tmp_path / 'first' / 'epoch_1.pth')
    other = tmp_path / 'other'
    other.mkdir()
    names = ['preempted_iter_9.pth', 'epoch_6.pth', 'epoch_7.pth', 'epoch_8.pth']
    for name in names:
        (other / name).write_bytes(b'')
    train(other, 3, None, resume=True, load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    assert set(names) <= set(files(other))


NAMES = st.sampled_from(['preempted', 'outdated', 'keep_ckpt_ids', 'best_ckpt', 'last_ckpt'])


@given(info=st.dictionaries(NAMES, nonsense('../x', '/etc/passwd')))
@settings(max_examples=60, deadline=None)
def test_nonsense_for_names_leaves_names_of_the_run(info):
    hub = MessageHub.get_instance(uuid.uuid4().hex)
    for name, value in info.items():
        hub.update_info(name, value)
    folder = Path('/runs/a')
    runner = SimpleNamespace(message_hub=hub, _resume=True, _load_from=str(folder / 'epoch_1.pth'))
    restrict_to_own_files(runner, folder)
    assert all(type(step) is int and step >= 0 for step in hub.get_info('keep_ckpt_ids'))
    assert all(re.fullmatch(r'preempted_iter_\d+\.pth', name) for name in hub.get_info('preempted'))
    assert hub.get_info('outdated') == regular_names(hub.get_info('outdated'))
    assert hub.get_info('last_ckpt') == '/runs/a/epoch_1.pth'
    assert hub.get_info('best_ckpt') is None or Path(hub.get_info('best_ckpt')).parent == folder


def damage(*epochs: int) -> Calls:
    """Put NaN into the model after these epochs, counted from 0, and numbers after the others."""

    def fill(runner):
        for parameter in runner.model.parameters():
            parameter.data.fill_(torch.nan if runner.epoch in epochs else 0.5)

    hook = Calls(after_train_epoch=fill)
    hook.priority = 'VERY_HIGH'
    return hook


@pytest.mark.parametrize('save_best', [None, 'auc'])
def test_weights_that_are_not_finite_are_not_written(save_best, tmp_path, capsys):
    Growing.score = 0
    train(tmp_path, 3, save_best, custom_hooks=[damage(1)])
    kept = ['best_auc_epoch_3.pth'] * (save_best is not None) + ['epoch_1.pth', 'epoch_3.pth']
    assert files(tmp_path) == kept
    assert all(read_checkpoint(tmp_path / name) for name in kept)


def test_a_run_that_ends_with_weights_that_are_not_finite_says_so(tmp_path):
    line = rf'the last weights are not finite .* --resume from {tmp_path / "epoch_1.pth"}'
    with pytest.raises(FloatingPointError, match=line):
        train(tmp_path, 2, None, custom_hooks=[damage(1)])
    assert files(tmp_path) == ['epoch_1.pth']
    assert train(tmp_path, 2, None, resume=True).epoch == 2


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
    remove_regular(tmp_path / 'work', names)
    assert len([*tmp_path.rglob('*.pth')]) == 3
    remove_regular(tmp_path / 'work', ['epoch_1.pth'])
    assert len([*tmp_path.rglob('*.pth')]) == 2


def test_backbone_file_beside_every_kept_checkpoint(tmp_path):
    model = toy_model()
    checkpoint = dict(type='FLSLCheckpointHook', interval=1, max_keep_ckpts=2)
    toy_runner(tmp_path, [], model, epochs=3, default_hooks=dict(checkpoint=checkpoint)).train()
    assert files(tmp_path) == ['epoch_2.pth', 'epoch_2_backbone.pth', 'epoch_3.pth', 'epoch_3_backbone.pth']
    content = torch.load(tmp_path / 'epoch_3_backbone.pth', weights_only=True)
    assert same(content['state_dict'], model.teacher.backbone.state_dict())
    assert content['meta']['arch'] == model.backbone.spec.arch
    assert content['meta']['mean'] == pytest.approx([0.485, 0.456, 0.406])
