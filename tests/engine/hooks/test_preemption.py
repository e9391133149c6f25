"""After SIGTERM or Ctrl-C the processes leave together, when checkpoint and backbone are there."""

import signal
import uuid

import pytest
from mmengine.runner import Runner

from flsl_mm.engine.hooks import FLSLPreemptionHook, preemption
from tests.builders.toy_run import Calls, toy_runner


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of SIGTERM and SIGINT, which a run that ends puts back."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have put the tests into the background
    before = [signal.getsignal(signum) for signum in preemption.SIGNALS]
    yield
    assert [signal.getsignal(signum) for signum in preemption.SIGNALS] == before


def build(work_dir, hook, *others, **checkpoint) -> Runner:
    return toy_runner(
        work_dir,
        [hook, *others],
        train_cfg=dict(type='FLSLEpochTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(type='FLSLCheckpointHook', **checkpoint)),
        experiment_name=uuid.uuid4().hex,
    )


def preempted_run(work_dir, iteration: int, **checkpoint) -> Runner:
    hook = FLSLPreemptionHook()

    def preempt(runner):
        hook.requested = signal.SIGTERM if runner.iter >= iteration else 0

    return build(work_dir, hook, Calls(before_train_iter=preempt), **checkpoint)


def send(*signals: int) -> Calls:
    """Send real ones during the second iteration, and fail at the third one."""

    def fail(runner):
        assert runner.iter < 2, 'the next batch came first'

    def send_all(runner):
        if runner.iter == 1:
            for signum in signals:
                signal.raise_signal(signum)

    return Calls(before_train_iter=fail, after_train_iter=send_all)


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
    with pytest.raises(SystemExit) as stop:
        build(tmp_path, FLSLPreemptionHook(), send(signal.SIGTERM, signal.SIGTERM)).train()
    assert stop.value.code == 75
    assert files(tmp_path) == ['preempted_iter_2.pth', 'preempted_iter_2_backbone.pth']
    assert 'stopped after iteration 2 with the checkpoint' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize('count', [1, 2], ids=['from the terminal', 'and from the launcher'])
def test_ctrl_c_saves_a_checkpoint(count, tmp_path, capfd):
    line = rf'stopped after iteration 2 with the checkpoint {tmp_path}/preempted_iter_2.pth; --resume continues'
    with pytest.raises(KeyboardInterrupt, match=line):
        build(tmp_path, FLSLPreemptionHook(), send(*[signal.SIGINT] * count)).train()
    assert files(tmp_path) == ['preempted_iter_2.pth', 'preempted_iter_2_backbone.pth']
    assert 'Ctrl-C again stops without it' in capfd.readouterr().err


def test_ctrl_c_again_tells_what_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(preemption, 'REPEATED', -1)
    with pytest.raises(KeyboardInterrupt, match='stopped without a checkpoint: 1 steps since the beginning are lost'):
        build(tmp_path, FLSLPreemptionHook(), send(signal.SIGINT, signal.SIGINT)).train()
    assert files(tmp_path) == []


@pytest.mark.parametrize('by_epoch', [False, True])
def test_last_iteration(by_epoch, tmp_path):
    preempted_run(tmp_path, 7, by_epoch=by_epoch, interval=10).train()
    name = 'epoch_2' if by_epoch else 'iter_8'
    assert files(tmp_path) == [f'{name}.pth', f'{name}_backbone.pth']
