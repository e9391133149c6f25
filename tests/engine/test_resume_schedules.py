"""A resumed run follows its config's schedules; an unchanged config changes nothing."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip('mmpretrain')

from flsl_mm.commands import command_line
from tests.builders.toy_run import Calls, messages_of, toy_config, write_images


@pytest.fixture
def folder(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / 'stopped'))


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
    """A work folder whose run of three epochs of six iterations was stopped after one."""
    folder = tmp_path_factory.mktemp('follow')
    write_images(folder / 'images')
    runner = config_runner(folder, default_hooks__checkpoint__interval=6)

    def stop(runner):
        if runner.epoch == 1:
            raise InterruptedError

    runner.register_hook(Calls(before_train_epoch=stop))
    with pytest.raises(InterruptedError):
        runner.train()
    return folder


def config_runner(folder, **changes):
    cfg = toy_config(folder / 'images', folder / 'work', **changes)
    cfg.param_scheduler.append(dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.5))
    return command_line.build_runner(cfg)


def rates(folder, **changes):
    """Resume with changes: what is said of schedules, and the learning rate and decay of each further iteration."""
    runner = config_runner(folder, default_hooks__checkpoint__interval=600, **changes)
    seen = []

    def note(runner):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        seen.append((runner.iter, group['lr'], group['weight_decay']))

    runner.register_hook(Calls(before_train_iter=note))
    lines = [line for line in messages_of(runner, runner.train) if 'schedules of the config' in line]
    return lines, seen


def uninterrupted(folder, tmp_path, **changes):
    """What a run with these settings from its beginning has from iteration 6 on."""
    runner_folder = tmp_path / 'new'
    runner_folder.mkdir()
    (runner_folder / 'images').symlink_to(folder / 'images')
    return rates(runner_folder, **changes)[1][6:]


def test_an_unchanged_config_says_and_changes_nothing(folder, tmp_path):
    lines, seen = rates(folder)
    assert lines == []
    assert seen == uninterrupted(folder, tmp_path)


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        (dict(optim_wrapper__optimizer__lr=1e-3), 'lr 0.005 -> 0.001;'),
        (dict(optim_wrapper__optimizer__weight_decay=0.1), 'weight_decay 0.04 -> 0.1;'),
        (dict(train_cfg__max_epochs=5), 'lr schedule warmup 2 -> 3, lr schedule end 18 -> 30'),
    ],
)
def test_a_changed_config_is_followed_and_told(folder, tmp_path, changes, line):
    lines, seen = rates(folder, **changes)
    assert len(lines) == 1
    assert line in lines[0]
    expected = uninterrupted(folder, tmp_path, **changes)
    assert [row[0] for row in seen] == [row[0] for row in expected]
    assert [row[1:] for row in seen] == [pytest.approx(row[1:]) for row in expected]
