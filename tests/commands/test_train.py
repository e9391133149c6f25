"""tools/train.py: how its options change a config, and one line for every mistake."""

import shlex
from types import SimpleNamespace

import pytest

pytest.importorskip('mmpretrain')
pytest.importorskip('mmdet')

from mmengine.config import Config

from flsl_mm.commands import command_line, train
from flsl_mm.engine import backends
from tests.builders.programs import refused
from tests.builders.toy_run import toy_config, write_images

PRETRAIN = 'configs/pretrain/flsl_vit-s16.py'
DETECTION = 'configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py'


@pytest.fixture
def built(monkeypatch) -> list[Config]:
    configs, hooks = [], []
    runner = SimpleNamespace(
        log_dir='none', register_hook=hooks.append, train=lambda: [hook.before_train(runner) for hook in hooks]
    )
    monkeypatch.setattr(command_line, 'build_runner', lambda cfg: configs.append(cfg) or runner)
    return configs


def test_a_run_is_the_config_with_its_options(built):
    changed = dict(launcher='none', work_dir='work_dirs/flsl_vit-s16')
    base = Config.fromfile(PRETRAIN)
    hooks = dict(base.default_hooks, compile=dict(type='FLSLCompileHook'))
    batch = base.auto_scale_lr.base_batch_size / 4
    # MMEngine's own logger has no option `verbose`, and shows all in any case.
    theirs = ['--verbose', '--cfg-options', 'default_hooks.logger.type=LoggerHook']
    accumulated = ['--auto-scale-lr', '--cfg-options', 'optim_wrapper.accumulative_counts=4']
    for options in ([], ['--compile'], ['--verbose'], theirs, accumulated):
        assert train.main([PRETRAIN, *options]) == 0
    plain, compiled, verbose, with_theirs, scaled = built
    assert plain.to_dict() == base.to_dict() | changed
    assert compiled.default_hooks == hooks
    assert [cfg.default_hooks.logger.get('verbose') for cfg in (plain, verbose, with_theirs)] == [None, True, None]
    assert scaled.auto_scale_lr == dict(enable=True, base_batch_size=batch)


@pytest.mark.parametrize(('config', 'dtype'), [(PRETRAIN, None), (DETECTION, 'float16')])
def test_amp(built, config, dtype):
    """Detectors get float16: bfloat16 rounds box corners by pixels."""
    plain = 'optim_wrapper.type=FLSLOptimWrapper'
    assert train.main([config, '--amp', '--cfg-options', plain]) == 0
    assert built[0].optim_wrapper.type == 'FLSLAmpOptimWrapper'
    assert built[0].optim_wrapper.get('dtype') == dtype


def test_viewers_of_curves(built, monkeypatch, capsys):
    monkeypatch.setattr(backends, 'find_spec', lambda name: True)
    assert train.main([PRETRAIN, '--tensorboard', '--wandb', '--work-dir', 'runs/mine']) == 0
    _, board, wandb = built[0].visualizer.vis_backends
    assert board == dict(type='TensorboardVisBackend')
    assert wandb == dict(type='WandbVisBackend', init_kwargs=dict(project='flsl_mm', name='mine'))
    monkeypatch.setattr(backends, 'find_spec', lambda name: None)
    line = refused(train.main, [PRETRAIN, '--tensorboard'], capsys)
    assert line == "--tensorboard needs tensorboard: pip install 'flsl_mm[tensorboard]'"
    assert len(built) == 1


def test_a_used_work_folder_is_not_mixed_with_another_run(built, tmp_path, capsys):
    work, elsewhere = tmp_path / 'work', tmp_path / 'elsewhere' / 'work'
    files = [work / 'verdict.json', work / 'notes.txt', work / '20260101_000000' / '20260101_000000.log']
    files += [elsewhere / name for name in ('epoch_1.pth', 'epoch_1_backbone.pth', 'other.pth')]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    options = [PRETRAIN, '--work-dir', str(work)]
    options += ['--cfg-options', f'default_hooks.checkpoint.out_dir={tmp_path}/elsewhere']
    line = refused(train.main, options, capsys)
    assert line.startswith(f'{work} has files of an earlier run, epoch_1.pth for one: --resume continues that run')
    assert all(path.is_file() for path in files)
    assert train.main([*options, '--resume']) == 0
    (elsewhere / 'epoch_1.pth').write_bytes(b'weights')
    own = ['--overwrite', '--load-from', elsewhere / 'epoch_1.pth']
    assert 'would remove' in refused(train.main, [*options, *own], capsys)
    assert (elsewhere / 'epoch_1.pth').is_file()
    assert train.main([*options, '--overwrite']) == 0
    assert [path.name for path in files if path.exists()] == ['notes.txt', 'other.pth']
    assert not (work / '20260101_000000').exists()


def test_a_start_that_fails_replaces_nothing(tmp_path, monkeypatch, fresh_logger):
    monkeypatch.chdir(tmp_path)
    toy_config(write_images(tmp_path / 'images'), tmp_path / 'work', resume=False, train_cfg__max_epochs=1).dump('a.py')
    files = [tmp_path / 'work' / name for name in ('epoch_7.pth', 'skipped_images.txt', '20260101_000000/mine.txt')]
    files.append(tmp_path / 'work/20260101_000000/20260101_000000.log')
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    overwrite = ['a.py', '--overwrite', '--cfg-options']
    assert train.main([*overwrite, 'model.head.num_prototypes=0', 'experiment_name=overwrite_a']) == 2
    assert train.main([*overwrite, 'train_dataloader.dataset.data_root=none', 'experiment_name=overwrite_b']) == 2
    assert all(path.exists() for path in files)
    assert train.main([*overwrite, 'train_cfg.max_epochs=1', 'experiment_name=overwrite_c']) == 0
    assert [path.exists() for path in files] == [False, False, True, False]  # what no run writes stays
    assert (tmp_path / 'work/iter_6.pth').is_file()


@pytest.mark.parametrize(
    ('options', 'variables', 'printed'),
    [
        ([], dict(RANK='0', WORLD_SIZE='2'), True),
        ([], dict(RANK='1', WORLD_SIZE='2'), False),
        (['--launcher', 'slurm'], dict(SLURM_PROCID='0', SLURM_NTASKS='2'), True),
        (['--launcher', 'mpi'], dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2'), False),
    ],
)
def test_auto_counts_the_processes_of_the_launcher(options, variables, printed, built, tmp_path, monkeypatch, capsys):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder = write_images(tmp_path / 'images')
    assert train.main(['--auto', str(folder), '--work-dir', str(tmp_path / 'work'), *options]) == 0
    assert built[0].launcher == (options or ['', 'pytorch'])[1]
    assert built[0].train_dataloader.batch_size == 8
    assert ('8 images per process on 2 processes' in capsys.readouterr().out) == printed


@pytest.mark.parametrize('name', ['my_images', 'my images, 2026'])
def test_auto_says_what_it_chose_and_why(built, name, tmp_path, capsys):
    """Options that are given win, and the command that is printed is the same run."""
    folder = write_images(tmp_path / name)
    (folder / 'IMG_0001.HEIC').touch()
    assert train.main(['--auto', str(folder), '--cfg-options', 'train_dataloader.num_workers=0']) == 0
    printed = capsys.readouterr()
    assert 'left out' not in printed.out + printed.err  # which the run says
    lines = printed.out.splitlines()
    assert lines[0] == f'chosen for {folder}'
    assert lines[1] == '  25 images: pretrain/flsl_vit-t8d4_content, 900 steps of 16 images'
    cfg = built[0]
    assert cfg.train_dataloader.dataset.data_root == str(folder)
    assert (cfg.train_dataloader.num_workers, cfg.train_cfg.max_epochs) == (0, 576)
    assert cfg.work_dir == f'work_dirs/flsl_vit-t8d4_content_{name}'
    command = shlex.split(lines[-1].partition('flsl-mm train ')[2])
    assert train.main(command) == 0
    assert built[1].to_dict() == cfg.to_dict()


def test_weights_to_start_from_and_resume(built, tmp_path):
    file = tmp_path / 'epoch_1.pth'
    file.touch()
    for options in (['--load-from', str(file)], ['--resume'], ['--resume', str(file)]):
        assert train.main([PRETRAIN, *options]) == 0
    found = [(cfg.get('resume', False), cfg.load_from) for cfg in built]
    assert found == [(False, str(file)), (True, None), (True, str(file))]


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['pretrain/flsl_vit-s1'], 'did you mean pretrain/flsl_vit-s16 or pretrain/flsl_vit-s8?'),
        ([PRETRAIN, '--resume', 'none.pth'], "no checkpoint 'none.pth' to resume from"),
        ([], 'give either a config (flsl-mm lists them) or --auto FOLDER'),
        ([PRETRAIN, '--auto', 'folder'], 'give either a config (flsl-mm lists them) or --auto FOLDER'),
        ([DETECTION, '--auto-scale-lr'], '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config'),
        ([PRETRAIN, '--load-from', 'none.pth'], 'checkpoint none.pth does not exist'),
        ([PRETRAIN, '--cfg-options', 'load_from=https://example.com/a.pth'], 'is an address and nothing is downloaded'),
        ([PRETRAIN, '--load-from', 'setup.py', '--resume'], '--resume continues a run, --load-from starts another one'),
        ([PRETRAIN], 'srun has started 2 processes, and this is number 1: add --launcher slurm'),
    ],
)
def test_mistakes(built, capsys, options, line, monkeypatch):
    if options == [PRETRAIN]:
        monkeypatch.setenv('SLURM_PROCID', '1')
        monkeypatch.setenv('SLURM_NTASKS', '2')
    assert line in refused(train.main, options, capsys)
    assert built == []


def test_a_missing_backbone_file_is_reported_before_the_data_is_read(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('COCO_ROOT', str(tmp_path / 'no_coco'))
    start = ['model.backbone.init_cfg.type=Pretrained', 'model.backbone.init_cfg.checkpoint=none.pth']
    options = ['det/mask-rcnn_flsl-vit-s16_fpn_1x_coco', '--work-dir', tmp_path / 'work', '--cfg-options', *start]
    assert refused(train.main, options, capsys, alone=False) == 'checkpoint none.pth does not exist'


def test_a_work_folder_is_resumed_with_the_config_in_it(built, tmp_path, capsys):
    """All options of the run's start are in it; the folder may have been moved, and the batch is not scaled twice."""
    work = tmp_path / 'work'
    work.mkdir()
    options = ['--amp', '--cfg-options', 'optim_wrapper.accumulative_counts=4', 'train_cfg.max_epochs=7']
    assert train.main([PRETRAIN, '--work-dir', str(work), *options]) == 0
    built[0].dump(work / 'flsl_vit-s16.py')
    moved = work.rename(tmp_path / 'moved')
    assert train.main([str(moved), '--resume', '--cfg-options', 'train_cfg.max_epochs=9']) == 0
    first, second = (cfg.to_dict() for cfg in built)
    assert second['train_cfg'].pop('max_epochs') == 9
    assert first['train_cfg'].pop('max_epochs') == 7
    assert second == first | dict(work_dir=str(moved), resume=True)

    assert f'{moved} is a folder: give a config file, or add --resume' in refused(train.main, [moved], capsys)
    assert f'no config in {tmp_path}: give the config' in refused(train.main, [tmp_path, '--resume'], capsys)
    (moved / 'other.py').touch()
    assert 'has the configs flsl_vit-s16.py, other.py' in refused(train.main, [moved, '--resume'], capsys)
