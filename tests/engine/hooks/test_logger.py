"""What a run shows on the console: little at its start, then lines, or in a terminal a bar."""

import json
import os
import re
import sys
from threading import Thread

import pytest
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.structures import BaseDataElement
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from flsl_mm.commands import command_line
from flsl_mm.engine.log_processor import batch_size_of
from flsl_mm.selfsup import FLSL
from flsl_mm.utils import console
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import LOGGED, Calls, ToyImages, toy_config, toy_runner, write_images

pytestmark = pytest.mark.usefixtures('fresh_logger')

REMARK = Calls(before_train=lambda runner: runner.logger.info('a remark of mine'))
DUMPS = ('System environment:', 'Config:', 'Hooks will be executed in the following order')


STEP = re.compile(
    r'[\d:]{8} epoch \d/2, step \d/6 \| loss \d+\.\d{4} \| (?:(.+) \| )?\S+ images/s \| \d:\d\d:\d\d left'
)
"""All that the console's line of a step has; the group is the verdict."""


def step_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if ', step ' in line]


@pytest.mark.parametrize('verbose', [False, True])
def test_what_the_console_shows_and_the_log_file(verbose, tmp_path, capsys):
    options = dict(train_cfg__max_epochs=2, resume=False, default_hooks__logger__verbose=verbose)
    runner = command_line.build_runner(toy_config(write_images(tmp_path / 'images'), tmp_path / 'work', **options))
    runner.register_hook(REMARK)
    runner.train()
    shown = capsys.readouterr().out
    log = next(tmp_path.glob('work/*/*.log')).read_text()
    lines = step_lines(shown)
    assert len(lines) == 12
    assert all(' intra ' in line and ' waiting for data)' in line for line in step_lines(log))
    assert all(part in log and (part in shown) == verbose for part in DUMPS)
    if verbose:
        assert [line[9:] for line in lines] == [line.partition(' - INFO - ')[2] for line in step_lines(log)]
        return
    verdicts = [STEP.fullmatch(line)[1] for line in lines]
    assert [verdict for verdict in verdicts if verdict] == ['too early to tell']
    start = shown.partition('epoch 1/2, step 1/6')[0]
    assert len(start.splitlines()) <= 16
    for part in ('training FLSL with FLSLViT', 'parameters, on the CPU', 'effective batch 4', 'a remark of mine'):
        assert part in start
    assert f'writing to {tmp_path}/work | environment, config, hooks and all messages: {tmp_path}/work/' in start


def test_a_verdict_is_in_each_line_once_it_can_be_told(tmp_path, capsys):
    def tell(runner):
        early = runner.iter < 3
        runner.message_hub.update_info('verdict', 'too short to tell: 3 steps' if early else 'collapsed: by half')

    runner = toy_runner(tmp_path, [], log_level='INFO', **LOGGED)
    runner.register_hook(Calls(after_train_iter=tell), 'NORMAL')
    runner.train()
    said = [STEP.fullmatch(line.replace('/4 ', '/6 '))[1] for line in step_lines(capsys.readouterr().out)]
    assert said == ['too early to tell', None, None, *['collapsed'] * 5]


@pytest.mark.parametrize('seconds', [0, 60])
def test_slow_steps_have_lines_of_their_own(seconds, tmp_path, capsys, monkeypatch):
    """Between those of every ``interval`` steps; where steps are quick the epochs' last alone."""
    monkeypatch.setattr('flsl_mm.utils.terminal.LATEST', seconds)
    runner = validated_runner(tmp_path, 100)
    runner.train()
    runner.test()
    shown = capsys.readouterr().out
    assert len(step_lines(shown)) == (2 if seconds else 8)
    assert ('Epoch(val) [2][1/3]' in shown) == (not seconds)
    assert ('Epoch(test) [2/3]' in shown) == (not seconds)


def test_with_mmengines_hook_a_run_logs_as_mmengine_does(tmp_path, capsys):
    options = dict(default_hooks__logger__type='LoggerHook')
    command_line.build_runner(toy_config(write_images(tmp_path / 'images'), tmp_path / 'work', **options))
    shown = capsys.readouterr().out
    assert all(part in shown for part in DUMPS)


@pytest.fixture
def terminal():
    """A terminal to write to, the list of what it shows, and the thread that reads it until it is closed."""
    ours, theirs = os.openpty()
    shown = []

    def read():
        try:
            while part := os.read(ours, 10_000):
                shown.append(part.decode(errors='replace'))
        except OSError:  # how the end reads
            pass

    reader = Thread(target=read, daemon=True)
    reader.start()
    with os.fdopen(theirs, 'w') as stream:
        yield stream, shown, reader
    os.close(ours)


class Mean(BaseMetric):
    """Counts the images, and prints as COCO's metric does."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_batch['inputs'])

    def compute_metrics(self, results):
        print('a table of the metric')
        return dict(images=sum(results))


class Validated(FLSL):
    """A model that takes the images of validation, which pretraining has none of."""

    def val_step(self, data):
        return [BaseDataElement()]

    test_step = val_step


def bars(shown: list[str], name: str) -> list[str]:
    return [part for part in ''.join(shown).replace('\x1b[A', '\r').split('\r') if part.strip().startswith(f'{name}:')]


def validated_runner(tmp_path, interval, hooks=(), **options):
    data = dict(dataset=ToyImages(), sampler=dict(type='DefaultSampler', shuffle=False), batch_size=3, num_workers=0)
    for split in ('val', 'test'):
        options |= {f'{split}_dataloader': data, f'{split}_cfg': {}, f'{split}_evaluator': Evaluator(Mean())}
    options |= LOGGED | dict(default_hooks=dict(logger=dict(type='FLSLLoggerHook', interval=interval)))
    model = toy_model()
    model.__class__ = Validated
    return toy_runner(tmp_path, [*hooks], model, log_level='INFO', **options)


def test_bars(tmp_path, terminal, monkeypatch):
    """Eight images in batches of three; what the metric prints has lines of its own, and the training's bar goes on."""
    stream, shown, reader = terminal
    monkeypatch.setattr(sys, 'stdout', stream)
    monkeypatch.setattr('flsl_mm.engine.hooks.logger.REFRESH', -1)  # what is said once is drawn, whatever follows
    runner = validated_runner(tmp_path, 1, [dict(type='FLSLCollapseHook'), REMARK])
    runner.train()
    runner.test()
    stream.close()
    reader.join(10)
    text = ''.join(shown)
    for name in ('validating', 'testing'):
        assert '| 0/8 [' in bars(shown, name)[0]
        assert ' images/s' in bars(shown, name)[-1]
        assert '100%' in bars(shown, name)[-1]
        assert '| 8/8 [' in bars(shown, name)[-1]
    assert '100%' in bars(shown, 'training')[-1]
    for part in ('8/8', 'loss ', 'too early to tell', 'a remark of mine'):
        assert part in text
    assert 'epoch 1/2' not in text
    assert text.count('a table of the metric') == 3
    before = [part.rpartition('\n')[2] for part in text.split('a table of the metric')[:3]]
    assert [part.rpartition('\r')[2].strip() for part in before] == [''] * 3
    assert 'Epoch(val) [1][1/3]' not in text
    assert 'Epoch(val) [2][3/3]    toy/images: 8' in text
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'epoch 2/2, step 4/4' in log
    assert 'Epoch(test) [1/3]' in log


def test_validation_is_logged_at_its_iteration(tmp_path, capsys):
    """In a run that counts no epochs, each was logged at step 0, and the start told of one epoch."""
    loop = dict(type='IterBasedTrainLoop', max_iters=8, val_interval=4)
    validated_runner(tmp_path, 4, train_cfg=loop).train()
    (path,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row['step'] for row in rows if 'toy/images' in row] == [4, 8]
    start = next(line for line in capsys.readouterr().out.splitlines() if 'effective batch' in line)
    assert start.endswith(' | 8 steps')


def test_lines_of_validation_elsewhere(tmp_path, capsys):
    validated_runner(tmp_path, 2).train()
    shown = capsys.readouterr().out
    assert 'Epoch(val) [1][2/3]' in shown
    assert 'validating' not in shown


def test_a_pause_does_not_count(terminal, monkeypatch):
    stream, *_ = terminal
    monkeypatch.setattr(sys, 'stdout', stream)
    now = [1000.0]
    monkeypatch.setattr(console.time, 'time', lambda: now[0])
    bar = console.open_bar(10)
    bar.start_t = bar.last_print_t = 990.0
    console.pause_bar(bar)
    now[0] += 500
    console.resume_bar(bar)
    assert (bar.start_t, bar.last_print_t, bar.disable) == (1490.0, 1490.0, False)
    console.close_bar(bar)
    console.pause_bar(None)
    console.resume_bar(None)


def test_images_of_a_batch_sampler():
    """Such a loader, a detector's, has no batch size itself."""
    own = BatchSampler(SequentialSampler(range(8)), 4, drop_last=False)
    assert batch_size_of(DataLoader(range(8), batch_sampler=own)) == 4
    assert batch_size_of(DataLoader(range(8), batch_size=2)) == 2
    assert batch_size_of(DataLoader(range(8), batch_size=None)) == 1
