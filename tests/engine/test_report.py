"""What is said at the start and the end of a run."""

import re
from pathlib import Path
from types import SimpleNamespace

from flsl_mm.datasets.images import FLSLImages
from flsl_mm.engine import report
from flsl_mm.engine.report import data_line
from flsl_mm.utils.work_folder import SKIPPED
from tests.builders.images import make_image
from tests.builders.toy_run import LOGGED, OPTIM_WRAPPER, Calls, ToyImages, messages_of, toy_runner


def write_figure(runner):
    """As the probe of generated scenes does, after the report's turn."""
    Path(runner.work_dir, 'figure.png').touch()
    runner.message_hub.update_info('probe_figure', f'{runner.work_dir}/figure.png')


def test_report_names_numbers_and_files(tmp_path):
    default_hooks = dict(checkpoint=dict(type='FLSLCheckpointHook', interval=1)) | LOGGED['default_hooks']
    runner = toy_runner(tmp_path, [], default_hooks=default_hooks)
    runner.register_hook(Calls(after_train=write_figure), 'LOWEST')
    lines = messages_of(runner, runner.train)
    start = next(line for line in lines if 'effective batch' in line)
    for part in ('8 images', 'effective batch 2 (2 x 1 processes)', 'lr 0.001', 'K = 10', '4 steps per epoch'):
        assert part in start
    end = next(line for line in lines if line.startswith('Written:'))
    for name in ('epoch_2.pth', 'epoch_2_backbone.pth', 'scalars.json', 'figure.png'):
        assert name in end
        path = next(word for word in end.split() if word.endswith(name))
        assert Path(path).is_file()
    assert not [line for line in lines if 'image files' in line]
    assert not (tmp_path / SKIPPED).exists()


def test_steps_are_the_optimizers(tmp_path):
    """8 batches of which three and three make a step, and the last two."""
    wrapper = dict(OPTIM_WRAPPER, optimizer=dict(type='AdamW', lr=1e-3), accumulative_counts=3)
    runner = toy_runner(tmp_path, [], **LOGGED, optim_wrapper=wrapper)
    lines = messages_of(runner, runner.train)
    start = next(line for line in lines if 'effective batch' in line)
    assert 'effective batch 6 (2 x 1 processes x 3 batches)' in start
    assert start.endswith('1.333333333 steps of 3 batches per epoch, 2 epochs, 3 steps')
    step = runner.optim_wrapper.optimizer.state_dict()['state'][0]['step']
    assert step == 3


def test_other_trainings_tell_data_and_length(tmp_path):
    runner = toy_runner(tmp_path, [])
    line = data_line(runner, runner.train_dataloader, trains=True)
    assert line == 'ToyImages: 8 images | batch 2 | 4 steps per epoch, 2 epochs, 8 steps'
    once = toy_runner(tmp_path / 'once', [], epochs=1)
    assert data_line(once, once.train_dataloader, trains=True).endswith('4 steps per epoch, 1 epoch, 4 steps')


def test_skipped_files_are_listed_and_counted(tmp_path):
    class Skipping(ToyImages):
        """Lists every second file in the first epoch, as FLSLImages does with files that it skips."""

        skipped_log = None

        def __getitem__(self, index):
            if index < len(self) and index % 2:
                with open(self.skipped_log, 'a') as file:
                    file.write(f'{index}.png\tempty\n')
            return super().__getitem__(index)

    loader = dict(dataset=Skipping(), sampler=dict(type='FLSLSampler'), batch_size=2, num_workers=0)
    runner = toy_runner(tmp_path, [], **LOGGED, train_dataloader=loader)
    lines = messages_of(runner, runner.train)
    warning = f'4 of 8 image files could not be used; they are listed in {tmp_path / SKIPPED}'
    assert lines.count(warning) == 1
    assert len((tmp_path / SKIPPED).read_text().splitlines()) == 4


def test_a_run_too_short_for_the_teacher_is_told_its_length_in_short(tmp_path):
    """The console names the option, the file also why; the length that is named is enough."""
    runner = toy_runner(tmp_path, [])
    (line, *_) = report.pretraining_warnings(runner)
    assert re.fullmatch(
        r'8 steps are too few for the teacher to follow: set train_cfg.max_epochs=\d+ or more', line.console
    )
    assert 'of the teacher will still be its initial weights after 8 steps' in line
    enough = toy_runner(tmp_path / 'enough', [], epochs=int(re.search(r'=(\d+)', line)[1]))
    assert report.teacher_initial_share(enough) <= report.MAX_INITIAL


def test_small_images_are_warned_of(tmp_path, monkeypatch):
    """Before the first step, with counts."""
    (tmp_path / 'images').mkdir()
    for number, side in enumerate((32, 300, 40)):
        make_image(side, 300, number).save(tmp_path / 'images' / f'{number}.png')
    monkeypatch.setattr(report, 'teacher_initial_share', lambda runner: 0.0)
    loader = SimpleNamespace(dataset=FLSLImages(tmp_path / 'images', size=224), batch_size=64)
    runner = SimpleNamespace(model=SimpleNamespace(volume_weight=5.0), train_dataloader=loader, world_size=1)
    (line,) = report.pretraining_warnings(runner)
    assert line.startswith('2 of 3 images have fewer than 224 pixels on a side and are enlarged to views of 224: `flsl')
    loader.dataset.size = 32
    assert list(report.pretraining_warnings(runner)) == []
