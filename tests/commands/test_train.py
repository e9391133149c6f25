"""tools/train.py: how its options change a config, and one line for every mistake."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import pytest

pytest.importorskip('mmpretrain')
pytest.importorskip('mmdet')

from mmengine.config import Config

from flsl_mm.commands import command_line, train
from flsl_mm.engine import backends
from tests.builders.toy_run import toy_config, write_images

PRETRAIN = 'configs/pretrain/flsl_vit-s16.py'
DETECTION = 'configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py'


@pytest.fixture
def built(monkeypatch) -> list[Config]:
    """Configs of the runs that the program would start."""
    configs, hooks = [], []
    runner = SimpleNamespace(
        log_dir='none', register_hook=hooks.append, train=lambda: [hook.before_train(runner) for hook in hooks]
    )
    monkeypatch.setattr(command_line, 'build_runner', lambda cfg: configs.append(cfg) or runner)
    return configs


def test_a_run_is_the_config(built):
    assert train.main([PRETRAIN]) == 0
    (cfg,) = built
    changed = dict(launcher='none', work_dir='work_dirs/flsl_vit-s16')
    assert cfg.to_dict() == Config.fromfile(PRETRAIN).to_dict() | changed


@pytest.mark.parametrize(('config', 'dtype'), [(PRETRAIN, None), (DETECTION, 'float16')])
def test_amp(built, config, dtype):
    """Detectors get float16: bfloat16 rounds box corners by pixels."""
    plain = 'optim_wrapper.type=FLSLOptimWrapper'
    assert train.main([config, '--amp', '--cfg-options', plain]) == 0
    assert built[0].optim_wrapper.type == 'FLSLAmpOptimWrapper'
    assert built[0].optim_wrapper.get('dtype') == dtype


def test_compile_adds_a_hook(built):
    assert train.main([PRETRAIN, '--compile']) == 0
    hooks = Config.fromfile(PRETRAIN).default_hooks
    assert built[0].default_hooks == dict(hooks, compile=dict(type='FLSLCompileHook'))


def test_viewers_of_curves(built, monkeypatch):
    monkeypatch.setattr(backends, 'find_spec', lambda name: True)
    assert train.main([PRETRAIN, '--tensorboard', '--wandb', '--work-dir', 'runs/mine']) == 0
    _, board, wandb = built[0].visualizer.vis_backends
    assert board == dict(type='TensorboardVisBackend')
    assert wandb == dict(type='WandbVisBackend', init_kwargs=dict(project='flsl_mm', name='mine'))


def test_a_missing_viewer_is_told(built, monkeypatch, capsys):
    monkeypatch.setattr(backends, 'find_spec', lambda name: None)
    assert train.main([PRETRAIN, '--tensorboard']) == 2
    line = "error: --tensorboard needs tensorboard: pip install 'flsl_mm[tensorboard]'\n"
    assert capsys.readouterr().err == line
    assert built == []


def test_a_used_work_folder_is_not_mixed_with_another_run(built, tmp_path, capsys):
    work, elsewhere = tmp_path / 'work', tmp_path / 'elsewhere' / 'work'
    files = [work / 'verdict.json', work / 'notes.txt', work / '20260101_000000' / '20260101_000000.log']
    files += [elsewhere / name for name in ('epoch_1.pth', 'epoch_1_backbone.pth', 'other.pth')]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    options = [PRETRAIN, '--work-dir', str(work)]
    assert train.main([*options, '--cfg-options', f'default_hooks.checkpoint.out_dir={tmp_path}/elsewhere']) == 2
    line = f'error: {work} has files of an earlier run, epoch_1.pth for one: --resume continues that run, --overwrite '
    assert capsys.readouterr().err.startswith(line)
    assert all(path.is_file() for path in files)
    options += ['--cfg-options', f'default_hooks.checkpoint.out_dir={tmp_path}/elsewhere']
    assert train.main([*options, '--resume']) == 0
    (elsewhere / 'epoch_1.pth').write_bytes(b'weights')
    assert train.main([*options, '--overwrite', '--load-from', str(elsewhere / 'epoch_1.pth')]) == 2
    assert 'would remove' in capsys.readouterr().err
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


def test_tasks_that_nobody_joins_do_not_start(built, monkeypatch, capsys):
    monkeypatch.setenv('SLURM_PROCID', '1')
    monkeypatch.setenv('SLURM_NTASKS', '2')
    assert train.main([PRETRAIN]) == 2
    assert 'srun has started 2 processes, and this is number 1: add --launcher slurm' in capsys.readouterr().err
    assert built == []


def test_learning_rate_scales_with_accumulated_batches(built):
    base = Config.fromfile(PRETRAIN).auto_scale_lr.base_batch_size
    options = ['--auto-scale-lr', '--cfg-options', 'optim_wrapper.accumulative_counts=4']
    assert train.main([PRETRAIN, *options]) == 0
    assert built[0].auto_scale_lr == dict(enable=True, base_batch_size=base / 4)


def test_verbose_is_for_our_logger(built):
    """MMEngine's own has no such option, and shows all in any case."""
    theirs = ['--cfg-options', 'default_hooks.logger.type=LoggerHook']
    for options in ([], ['--verbose'], ['--verbose', *theirs]):
        assert train.main([PRETRAIN, *options]) == 0
    assert [cfg.default_hooks.logger.get('verbose') for cfg in built] == [None, True, None]


def test_what_is_left_out_of_a_folder_is_said_by_the_run_alone(built, tmp_path, capsys):
    folder = write_images(tmp_path / 'images')
    (folder / 'IMG_0001.HEIC').touch()
    assert train.main(['--auto', str(folder)]) == 0
    printed = capsys.readouterr()
    assert 'left out' not in printed.out + printed.err


@pytest.mark.parametrize('name', ['my_images', 'my images, 2026'])
def test_auto_says_what_it_chose_and_why(built, name, tmp_path, capsys):
    """Options that are given win, and the command that is printed is the same run."""
    folder = write_images(tmp_path / name)
    assert train.main(['--auto', str(folder), '--cfg-options', 'train_dataloader.num_workers=0']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'chosen for {folder}'
    assert lines[1] == '  25 images: pretrain/flsl_vit-t8d4_small, 900 steps of 16 images'
    cfg = built[0]
    assert cfg.train_dataloader.dataset.data_root == str(folder)
    assert (cfg.train_dataloader.num_workers, cfg.train_cfg.max_epochs) == (0, 576)
    assert cfg.work_dir == f'work_dirs/flsl_vit-t8d4_small_{name}'
    command = shlex.split(lines[-1].partition('flsl-mm train ')[2])
    assert train.main(command) == 0
    assert built[1].to_dict() == cfg.to_dict()


def test_weights_to_start_from(built, tmp_path, capsys):
    file = tmp_path / 'epoch_1.pth'
    file.touch()
    assert train.main([PRETRAIN, '--load-from', str(file)]) == 0
    assert built[0].load_from == str(file)
    for options, words in (
        (['--load-from', 'none.pth'], 'checkpoint none.pth does not exist'),
        (['--cfg-options', 'load_from=https://example.com/a.pth'], 'is an address and nothing is downloaded: fetch'),
        (['--load-from', str(file), '--resume'], '--resume continues a run, --load-from starts another one'),
    ):
        assert train.main([PRETRAIN, *options]) == 2
        assert words in capsys.readouterr().err


def test_resume(built, tmp_path):
    file = tmp_path / 'iter_4.pth'
    file.touch()
    assert train.main([PRETRAIN, '--resume']) == 0
    assert train.main([PRETRAIN, '--resume', str(file)]) == 0
    assert [(cfg.resume, cfg.load_from) for cfg in built] == [(True, None), (True, str(file))]


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (
            ['pretrain/flsl_vit-s1'],
            "no config file 'pretrain/flsl_vit-s1': did you mean pretrain/flsl_vit-s16 or pretrain/flsl_vit-s8?",
        ),
        ([PRETRAIN, '--resume', 'none.pth'], "no checkpoint 'none.pth' to resume from"),
        ([], 'give either a config (flsl-mm lists them) or --auto FOLDER'),
        ([PRETRAIN, '--auto', 'folder'], 'give either a config (flsl-mm lists them) or --auto FOLDER'),
        (
            [DETECTION, '--auto-scale-lr'],
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config',
        ),
    ],
)
def test_mistakes(built, capsys, options, line):
    assert train.main(options) == 2
    assert capsys.readouterr().err == f'error: {line}\n'
    assert built == []


def test_a_missing_backbone_file_is_reported_before_the_data_is_read(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('COCO_ROOT', str(tmp_path / 'no_coco'))
    options = [f'model.backbone.init_cfg.checkpoint={tmp_path}/none.pth', 'model.backbone.init_cfg.type=Pretrained']
    config = 'configs/det/mask-rcnn_flsl-vit-s16_fpn_1x_coco.py'
    assert train.main([config, '--work-dir', str(tmp_path / 'work'), '--cfg-options', *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f'error: checkpoint {tmp_path}/none.pth does not exist'


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

    assert train.main([str(moved)]) == 2
    assert train.main([str(tmp_path), '--resume']) == 2
    (moved / 'other.py').touch()
    assert train.main([str(moved), '--resume']) == 2
    assert capsys.readouterr().err.splitlines() == [
        f'error: {moved} is a folder: give a config file, or add --resume to continue the run in it',
        f'error: no config in {tmp_path}: give the config file, and the folder as --work-dir',
        f'error: {moved} has the configs flsl_vit-s16.py, other.py: give one of them',
    ]
