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
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner

from flsl_mm.checkpoint import read_checkpoint
from flsl_mm.engine.hooks.checkpoint import regular_names, remove_regular, restrict_to_own_files
from flsl_mm.engine.safe_loading import safe_mmengine_loading
from flsl_mm.models import FLSLViT
from tests.builders.toy_flsl import BACKBONE, toy_model
from tests.builders.toy_run import toy_runner


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


HARMFUL = {
    'preempted': lambda victim: [
        str(victim),
        f'../{victim.name}',
        f'../../{victim.parent.name}/{victim.name}',
        'notes.txt',
    ],
    'keep_ckpt_ids': lambda victim: [
        f'x/../../{victim.stem}',
        f'/../../{victim.stem}',
        '../' + victim.stem,
        1.5,
        True,
        -1,
    ],
    'best_ckpt': lambda victim: str(victim),
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


NONSENSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(['../x', '/etc/passwd']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    info=st.dictionaries(
        st.sampled_from(['preempted', 'outdated', 'keep_ckpt_ids', 'best_ckpt', 'last_ckpt']), NONSENSE
    )
)
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


class Damage(Hook):
    """Puts NaN into the model after the epochs given, counted from 0, and numbers after the others."""

    priority = 'VERY_HIGH'

    def __init__(self, epochs: range) -> None:
        self.epochs = epochs

    def after_train_epoch(self, runner):
        for parameter in runner.model.parameters():
            parameter.data.fill_(torch.nan if runner.epoch in self.epochs else 0.5)


@pytest.mark.parametrize('save_best', [None, 'auc'])
def test_weights_that_are_not_finite_are_not_written(save_best, tmp_path, capsys):
    Growing.score = 0
    train(tmp_path, 3, save_best, custom_hooks=[Damage(range(1, 2))])
    kept = ['best_auc_epoch_3.pth'] * (save_best is not None) + ['epoch_1.pth', 'epoch_3.pth']
    assert files(tmp_path) == kept
    assert all(read_checkpoint(tmp_path / name) for name in kept)


def test_a_run_that_ends_with_weights_that_are_not_finite_says_so(tmp_path):
    line = rf'the last weights are not finite .* --resume from {tmp_path / "epoch_1.pth"}'
    with pytest.raises(FloatingPointError, match=line):
        train(tmp_path, 2, None, custom_hooks=[Damage(range(1, 2))])
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
    expected = model.teacher.backbone.state_dict()
    assert content['state_dict'].keys() == expected.keys()
    assert all(torch.equal(content['state_dict'][key], expected[key]) for key in expected)
    meta = content['meta']
    assert meta['arch'] == model.backbone.spec.arch
    assert (meta['patch_size'], meta['pos_resize'], meta['pos_embed']) == (8, 'offset', 'sincos')
    assert meta['mean'] == pytest.approx([0.485, 0.456, 0.406])
    options = {key: value for key, value in BACKBONE.items() if key != 'type'}
    loaded = FLSLViT(**options, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_3_backbone.pth')))
    loaded.init_weights()
    image = torch.randn(1, 3, 40, 40)
    assert torch.equal(loaded.eval()(image)[-1], model.teacher.backbone(image)[-1])
