"""After SIGTERM the processes leave together, when checkpoint and backbone are there, and no file is left over."""

from __future__ import annotations

import signal
import uuid

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flsl_mm.engine.hooks import FLSLPreemptionHook, preemption
from tests.toy_run import toy_runner


class Preempt(Hook):
    """Stands in for SIGTERM during an iteration, counted from 0."""

    def __init__(self, iteration: int, hook: FLSLPreemptionHook) -> None:
        self.iteration = iteration
        self.hook = hook

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.hook.requested = runner.iter >= self.iteration


@pytest.fixture(autouse=True)
def handler_of_sigterm():
    """Put SIGTERM's handler back, which a run that leaves does not."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def preempted_run(work_dir, iteration: int, **checkpoint) -> Runner:
    """Build a run of 2 epochs of 4 iterations that is preempted."""
    hook = FLSLPreemptionHook()
    return toy_runner(
        work_dir,
        [hook, Preempt(iteration, hook)],
        train_cfg=dict(type='FLSLEpochTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(type='FLSLCheckpointHook', **checkpoint)),
        experiment_name=uuid.uuid4().hex,
    )


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


def test_processes_wait_for_the_backbone_file(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(preemption, 'barrier', lambda: seen.append(files(tmp_path)))
    with pytest.raises(SystemExit) as stop:
        preempted_run(tmp_path, 1).train()
    assert stop.value.code == 75
    assert seen == [['preempted_iter_2.pth', 'preempted_iter_2_backbone.pth']]


@pytest.mark.parametrize(
    ('iteration', 'checkpoint', 'expected'),
    [
        (0, dict(by_epoch=False, interval=2), 'preempted_iter_1'),
        # The regular checkpoint of that iteration serves as well as a second one.
        (1, dict(by_epoch=False, interval=2), 'iter_2'),
        # That of the epoch follows after the iteration, and replaces the other.
        (3, dict(by_epoch=True, interval=1), 'epoch_1'),
    ],
)
def test_message_names_the_checkpoint_that_is_there(iteration, checkpoint, expected, tmp_path, capsys):
    with pytest.raises(SystemExit):
        preempted_run(tmp_path, iteration, **checkpoint).train()
    assert files(tmp_path) == [f'{expected}.pth', f'{expected}_backbone.pth']
    line = f'stopped after iteration {iteration + 1} with the checkpoint {tmp_path / expected}.pth; --resume'
    assert line in capsys.readouterr().out.splitlines()[-1]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / f'{expected}.pth')


def test_a_second_signal_during_an_iteration_does_not_wait_for_the_next_batch(tmp_path, capsys):
    hook = FLSLPreemptionHook()

    class Signals(Hook):
        """Sends two real ones during the second iteration, and fails at the third one."""

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            assert runner.iter < 2, 'the next batch came first'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 1:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)

    runner = toy_runner(
        tmp_path,
        [hook, Signals()],
        train_cfg=dict(type='FLSLEpochTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(type='FLSLCheckpointHook')),
        experiment_name=uuid.uuid4().hex,
    )
    with pytest.raises(SystemExit) as stop:
        runner.train()
    assert stop.value.code == 75
    assert files(tmp_path) == ['preempted_iter_2.pth']
    assert 'stopped after iteration 2 with the checkpoint' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize('by_epoch', [False, True])
def test_last_iteration(by_epoch, tmp_path):
    preempted_run(tmp_path, 7, by_epoch=by_epoch, interval=10).train()
    name = 'epoch_2' if by_epoch else 'iter_8'
    assert files(tmp_path) == [f'{name}.pth', f'{name}_backbone.pth']
