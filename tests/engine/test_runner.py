"""The Runner: all weights of a checkpoint or none, its config written when it starts, and one run in a folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine import fileio
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from flsl_mm.checkpoint import CheckpointError, read_checkpoint, to_flsl
from flsl_mm.commands import command_line
from flsl_mm.commands import train as train_command
from flsl_mm.engine.runner import RETIRED_HOOKS, FLSLRunner, safe_files
from tests.builders.nonsense import Call
from tests.builders.toy_run import CLASSIFIER_LOADER, ToyClassifier, messages_of, toy_config, write_images


@pytest.fixture(scope='module')
def finished(tmp_path_factory) -> tuple[Path, Path]:
    images, folder = write_images(tmp_path_factory.mktemp('images')), tmp_path_factory.mktemp('finished')
    run(toy_config(images, folder, resume=False, train_cfg__max_epochs=1))
    return images, folder / 'iter_6.pth'


def run(cfg):
    cfg.experiment_name = uuid.uuid4().hex
    cfg.log_level = 'WARNING'
    runner = command_line.build_runner(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize(
    ('change', 'options', 'line'),
    [
        (lambda content: to_flsl(content, 'teacher'), {}, 'tensors are missing'),
        (dict, dict(model__head__num_prototypes=9), 'of another shape'),
        (dict, dict(model__backbone__arch__depth=1), r'24 of its 71 tensors have no place .*, backbone\.blocks\.1\.'),
        (dict, dict(model__backbone__arch__num_heads=4), 'num_heads 2 in the file and 4 in the config, of backbone'),
    ],
    ids=['a backbone file', 'another K', 'a deeper backbone', 'other heads'],
)
@pytest.mark.parametrize('resume', [False, True], ids=['load_from', 'resume'])
def test_weights_that_are_not_all_there(change, options, line, resume, finished, tmp_path):
    images, source = finished
    content, changed = read_checkpoint(source), change(read_checkpoint(source))
    if resume:
        changed = content | dict(state_dict=changed['state_dict'])
    torch.save(changed, tmp_path / 'a.pth')
    options = options | dict(optim_wrapper__optimizer__fused=True)  # which would write beyond the end of a smaller head
    cfg = toy_config(images, tmp_path / 'work', resume=resume, load_from=str(tmp_path / 'a.pth'), **options)
    expected = rf"a\.pth is not a checkpoint of this config's training: .*{line}.*model\.backbone\.init_cfg"
    with pytest.raises(CheckpointError, match=expected) as error:
        run(cfg)
    assert '\n' not in str(error.value)
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_what_begins_anew_need_not_be_in_the_file(finished, tmp_path):
    """The converter keeps no center; a resumed run must have it."""
    images, source = finished
    content = read_checkpoint(source)
    del content['state_dict']['center']
    torch.save(content, tmp_path / 'a.pth')
    options = dict(load_from=str(tmp_path / 'a.pth'), train_cfg__max_epochs=1)
    assert run(toy_config(images, tmp_path / 'load', resume=False, **options)).iter == 6
    with pytest.raises(CheckpointError, match=r'1 of 71 tensors are missing .* center for one'):
        run(toy_config(images, tmp_path / 'resume', resume=True, **options))


@pytest.mark.parametrize('resume', [False, True], ids=['load_from', 'resume'])
def test_nothing_is_downloaded(resume, finished, tmp_path):
    address = 'https://example.com/iter_6.pth'
    with pytest.raises(CheckpointError, match=f'{address} is an address and nothing is downloaded: fetch the file'):
        run(toy_config(finished[0], tmp_path, resume=resume, load_from=address))


def test_progress_beyond_all_bounds_is_refused(finished, tmp_path):
    content = read_checkpoint(finished[1])
    content['meta']['iter'] = 10**30
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth has an unusable meta\.iter'):
        run(toy_config(finished[0], tmp_path / 'work', resume=True, load_from=str(tmp_path / 'a.pth')))


def test_code_in_a_checkpoint(finished, tmp_path):
    images, source = finished
    content, marker, work_dir = read_checkpoint(source), tmp_path / 'marker', tmp_path / 'work'
    next(iter(content['optimizer']['state'].values()))['step'] = Call(os.system, f'touch {marker}')
    work_dir.mkdir()
    torch.save(content, work_dir / 'iter_6.pth')
    with pytest.raises(CheckpointError, match=f'{work_dir}/iter_6.pth is refused: reading it would call or build'):
        run(toy_config(images, tmp_path / 'named', load_from=str(work_dir / 'iter_6.pth')))
    shutil.copy(source.with_name('iter_4.pth'), work_dir)
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_6.pth'))
    runner = run(toy_config(images, work_dir, train_cfg__max_epochs=1))
    log = next(work_dir.glob('*/*.log')).read_text()
    assert f'passed over a checkpoint: {work_dir / "iter_6.pth"} is refused' in log
    assert runner._load_from == str(work_dir / 'iter_4.pth')
    assert not marker.exists()


def test_metadata_cannot_keep_a_run_from_training(finished, tmp_path):
    """Torch would put the file's tensors in place of the parameters that the optimizer has."""
    content = torch.load(finished[1], weights_only=False)
    for notes in content['state_dict']._metadata.values():
        notes['assign_to_params_buffers'] = True
    torch.save(content, tmp_path / 'a.pth')
    options = dict(resume=False, load_from=str(tmp_path / 'a.pth'), train_cfg__max_epochs=1)
    runner = run(toy_config(finished[0], tmp_path / 'work', **options))
    trained = dict(runner.model.named_parameters())
    assert not torch.equal(trained['backbone.norm.bias'], content['state_dict']['backbone.norm.bias'])


def test_training_starts_from_weights_for_other_classes(tmp_path):
    source = ToyClassifier(4)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'a.pth')
    cfg = Config(
        dict(
            model=dict(type='ToyClassifier', num_classes=2),
            work_dir=str(tmp_path / 'work'),
            load_from=str(tmp_path / 'a.pth'),
            train_dataloader=CLASSIFIER_LOADER,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
            log_level='ERROR',
            experiment_name=uuid.uuid4().hex,
        )
    )
    runner = command_line.build_runner(cfg)
    lines = messages_of(runner, runner.train)
    assert 'the file has another number of classes: scores start anew, everything else is loaded' in lines
    assert not [line for line in lines if 'do not match' in line]
    assert torch.equal(runner.model.body.weight, source.body.weight)
    cfg.update(experiment_name=uuid.uuid4().hex, resume=True)
    content = dict(read_checkpoint(tmp_path / 'work' / 'epoch_1.pth'), state_dict=source.state_dict())
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth is of another number of classes, in scores: a new training can'):
        command_line.build_runner(cfg).train()


def test_initialising_the_whole_model_from_a_file_is_refused(finished, tmp_path):
    """MMEngine would load what fits and keep random numbers for the rest."""
    cfg = toy_config(finished[0], tmp_path, resume=False)
    cfg.model.init_cfg = dict(type='Pretrained', checkpoint=str(finished[1]))
    with pytest.raises(ValueError, match=r'model\.init_cfg .* load_from, .* model\.backbone\.init_cfg'):
        run(cfg)


def test_other_programs_find_it_in_a_config(finished, tmp_path):
    """As mmdet's tools/train.py does."""
    cfg = toy_config(finished[0], tmp_path, runner_type='FLSLRunner', default_hooks__collapse=None)
    assert isinstance(RUNNERS.build(cfg), FLSLRunner)


def test_a_config_of_an_earlier_version_names_hooks_that_are_gone(finished, tmp_path):
    cfg = toy_config(finished[0], tmp_path)
    cfg.default_hooks.update({name: dict(type=name) for name in RETIRED_HOOKS})
    names = {type(hook).__name__ for hook in command_line.build_runner(cfg).hooks}
    assert 'FLSLScheduleHook' in names
    assert not names & set(RETIRED_HOOKS)


@pytest.mark.parametrize('folder', ['work', 'elsewhere/work'])
def test_a_second_run_does_not_write_into_the_folders_of_the_first(folder, finished, tmp_path, monkeypatch):
    """Whatever rank variables some other program has left in the environment."""
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('SLURM_PROCID', '1')
    options = dict(default_hooks__checkpoint__out_dir=str(tmp_path / 'elsewhere'))
    code = 'import sys\nfrom flsl_mm.utils.work_folder import locked_folder\n'
    code += 'with locked_folder(sys.argv[1]):\n    print("held", flush=True)\n    sys.stdin.read()'
    command = [sys.executable, '-c', code, str(tmp_path / folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == 'held\n'
        with pytest.raises(BlockingIOError, match=f'{tmp_path / folder} is in use by process {holder.pid}'):
            run(toy_config(finished[0], tmp_path / 'work', **options))
        holder.communicate()
    assert not [*tmp_path.rglob('*.pth')]


def plant(work_dir: Path, name: str, target: Path) -> None:
    """Put a link into a work folder; ``time`` names the folders of logs of the next two minutes."""
    work_dir.mkdir()
    names = [name]
    if name == 'time':
        names = [time.strftime('%Y%m%d_%H%M%S', time.localtime(time.time() + second)) for second in range(120)]
        target.mkdir()
    for name in names:
        (work_dir / name).symlink_to(target)


@pytest.mark.parametrize(
    'name', ['.training', 'last_checkpoint', 'skipped_images.txt', 'verdict.json', 'toy.py', 'time']
)
def test_a_link_where_something_is_written(name, tmp_path, capsys, fresh_logger):
    target, work_dir = tmp_path / 'target', tmp_path / 'work'
    plant(work_dir, name, target)
    toy_config(write_images(tmp_path / 'images', 4), work_dir, resume=False).dump(tmp_path / 'toy.py')
    assert train_command.main([str(tmp_path / 'toy.py')]) == 2
    assert re.fullmatch(rf'error: {work_dir}/\S+ is a link: remove it', capsys.readouterr().err.splitlines()[-1])
    assert not list(target.iterdir()) if name == 'time' else not target.exists()


def test_a_pipe_where_something_is_written(tmp_path, fresh_logger):
    os.mkfifo(tmp_path / 'last_checkpoint')
    cfg = toy_config(write_images(tmp_path / 'images', 4), tmp_path, resume=False)
    with pytest.raises(ValueError, match='last_checkpoint is not a regular file: remove it'):
        run(cfg)


class PlantLinks(Hook):
    """Puts links to ``target`` in the place of all that a run has written, or will, after its first step."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter > 0:
            return
        logs = Path(runner.work_dir, runner.timestamp)
        written = [*logs.rglob('*.*'), logs / 'vis_data' / f'{runner.timestamp}.json', logs / 'vis_data' / 'later.json']
        names = ('last_checkpoint', 'iter_6.pth', 'iter_6_backbone.pth', 'verdict.json', 'skipped_images.txt')
        for path in [*written, *(Path(runner.work_dir, name) for name in names)]:
            path.unlink(missing_ok=True)
            path.symlink_to(self.target)
        runner.visualizer.add_scalars(dict(a=1), file_path='later.json')


@pytest.mark.parametrize('backend', ['FLSLVisBackend', 'LocalVisBackend'])
def test_links_that_are_put_into_the_work_folder_during_a_run_are_not_followed(backend, tmp_path, fresh_logger):
    target = tmp_path / 'target'
    target.write_text('mine')
    images = write_images(tmp_path / 'images')
    cfg = toy_config(images, tmp_path / 'work', resume=False, train_cfg__max_epochs=1)
    cfg.visualizer.vis_backends[0].type = backend
    runner = command_line.build_runner(cfg)
    runner.register_hook(PlantLinks(target))
    runner.train()
    assert target.read_text() == 'mine'
    assert (tmp_path / 'work' / 'last_checkpoint').read_text() == str(tmp_path / 'work' / 'iter_6.pth')
    rows = (Path(runner.log_dir) / 'vis_data' / 'scalars.json').read_text().splitlines()
    assert len(rows) == 7  # one of a=1, and those of all steps


def test_the_folder_of_numbers_is_the_one_of_the_start(tmp_path, fresh_logger):
    other = tmp_path / 'other'
    other.mkdir()
    images = write_images(tmp_path / 'images')
    runner = command_line.build_runner(toy_config(images, tmp_path / 'work', resume=False, train_cfg__max_epochs=1))
    folder = Path(runner.log_dir, 'vis_data')
    folder.rename(tmp_path / 'moved')
    folder.symlink_to(other)
    runner.train()
    assert os.listdir(other) == []
    assert len((tmp_path / 'moved' / 'scalars.json').read_text().splitlines()) == 6


def test_mmengine_writes_no_file_through_a_link_while_a_run_goes_on(tmp_path):
    (tmp_path / 'target').write_text('mine')
    for name in ('image.png', 'text.json'):
        (tmp_path / name).symlink_to('target')
    with safe_files():
        mmcv.imwrite(np.zeros((2, 2, 3), np.uint8), str(tmp_path / 'image.png'))
        fileio.dump(dict(a=1), str(tmp_path / 'text.json'))
    assert (tmp_path / 'target').read_text() == 'mine'
    assert json.loads((tmp_path / 'text.json').read_text()) == dict(a=1)
    assert type(fileio.get_file_backend('x', enable_singleton=True)) is fileio.LocalBackend


@pytest.mark.parametrize('hook', ['LoggerHook', 'FLSLLoggerHook'])
def test_the_console_obeys_no_message(hook, tmp_path, fresh_logger, capsys):
    cfg = toy_config(write_images(tmp_path / 'images'), tmp_path / 'work', resume=False)
    cfg.default_hooks.logger = dict(type=hook)
    command_line.build_runner(cfg).logger.warning('a file %s', '\x1b[2Jname\r')
    assert r'a file \x1b[2Jname\r' in capsys.readouterr().out


def test_links_to_checkpoints_are_replaced(tmp_path, fresh_logger):
    work_dir, targets = tmp_path / 'work', {}
    work_dir.mkdir()
    for name in ('iter_2.pth', 'iter_2_backbone.pth'):
        targets[name] = tmp_path / name
        targets[name].write_text('another')
        (work_dir / name).symlink_to(targets[name])
    cfg = toy_config(write_images(tmp_path / 'images', 9), work_dir, resume=False, train_cfg__max_epochs=1)
    run(cfg)
    assert [target.read_text() for target in targets.values()] == ['another'] * 2
    assert not any((work_dir / name).is_symlink() for name in targets)


def test_a_full_disk_keeps_the_config(tmp_path, full_disk, fresh_logger):
    cfg = toy_config(write_images(tmp_path / 'images', 4), tmp_path / 'work', resume=False)
    cfg.dump(tmp_path / 'toy.py')
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work/toy.py').write_text('earlier')
    with pytest.raises(OSError, match='No space left'):
        run(Config.fromfile(tmp_path / 'toy.py'))
    assert (tmp_path / 'work/toy.py').read_text() == 'earlier'
