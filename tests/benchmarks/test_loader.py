"""The benchmark of loading: its files, whose first batches do not count, windows of a run, and ratios by hand."""

import json
import tempfile
from types import SimpleNamespace

import loader
import pytest
import tiny
import torch
from mmengine.config import Config
from PIL import Image, UnidentifiedImageError

from tests.builders.benchmarks import DETECTION, PRETRAIN, Clock


def test_generated_files_are_like_imagenets(tmp_path):
    files = loader.write_images(tmp_path, 3)
    assert sorted(tmp_path.iterdir()) == files
    assert len({file.read_bytes() for file in files}) == 3
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ('JPEG', 'RGB', (500, 375))
        assert 90_000 < file.stat().st_size < 110_000


def test_links_repeat_the_files(tmp_path):
    files = [tmp_path / 'one.jpg', tmp_path / 'two.png']
    for file in files:
        file.write_text(file.stem)
    folder = loader.link_images(tmp_path / 'many', files, 5)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ['0000000.jpg', '0000001.png', '0000002.jpg', '0000003.png', '0000004.jpg']
    assert [(folder / name).read_text() for name in names] == ['one', 'two', 'one', 'two', 'one']


def test_the_limit_decodes(tmp_path):
    (image,) = loader.write_images(tmp_path, 1)
    image.write_bytes(image.read_bytes()[:50_000])
    (tmp_path / 'text.jpg').write_text('no image')
    decoded = loader.DecodedImages([str(image), str(tmp_path / 'text.jpg')])
    with pytest.raises(OSError, match='truncated'):
        decoded[0]
    with pytest.raises(UnidentifiedImageError):
        decoded[1]


def test_loader_differs_in_files_and_sizes_only(tmp_path):
    cfg = Config.fromfile(PRETRAIN / 'flsl_vit-s16.py')
    base = cfg.train_dataloader.to_dict()
    changed = loader.loader_config(cfg, tmp_path, workers=3, batch_size=4)
    new = dict(num_workers=3, batch_size=4, pin_memory=torch.cuda.is_available(), dataset=changed.dataset)
    assert changed == dict(base, **new)
    assert changed.dataset == dict(base['dataset'], data_root=str(tmp_path))
    assert cfg.train_dataloader == base
    scenes = loader.loader_config(Config.fromfile(PRETRAIN / 'flsl_vit-t16_scenes.py'), tmp_path, 1, 4)
    assert scenes.dataset == dict(type='FLSLImages', data_root=str(tmp_path), size=128)


def test_first_batch_of_each_worker_does_not_count(monkeypatch):
    clock = Clock(monkeypatch)

    class Loader:
        num_workers = 2

        def __iter__(self):
            for seconds in (50, 30, 1, 1, 1, 1):
                clock.now += seconds
                yield dict(inputs=torch.zeros(4, 3, 2, 2))

    assert loader.seconds_per_image(Loader()) == 4 / 16


def test_loaders_take_turns_and_the_first_turn_does_not_count(monkeypatch):
    # Ours and the limit of a turn, for 1 and for 2 workers.
    durations = iter([9, 9, 0.004, 0.002, 0.005, 0.004, 0.010, 0.004, 9, 9, 0.002, 0.002, 0.002, 0.001, 0.002, 0.001])
    order = []

    def seconds_per_image(name):
        order.append(name)
        return next(durations)

    monkeypatch.setattr(loader, 'seconds_per_image', seconds_per_image)
    one, two = loader.time_loaders({1: ('ours 1', 'limit 1'), 2: ('ours 2', 'limit 2')}, repeats=3)
    assert order == ['ours 1', 'limit 1'] * 4 + ['ours 2', 'limit 2'] * 4
    assert one['seconds_per_image'] == (0.004, 0.005, 0.010)
    assert (one['workers'], two['workers']) == (1, 2)
    assert (one['images_per_second'], one['decoded_per_second']) == pytest.approx((200, 250))
    assert (two['images_per_second'], two['decoded_per_second']) == pytest.approx((500, 1000))
    assert (one['ratio'], two['ratio']) == pytest.approx((0.5, 0.5))  # of 0.5, 0.8 and 0.4; of 1, 0.5 and 0.5


def test_windows_by_hand(monkeypatch):
    clock = Clock(monkeypatch)
    durations = iter([])

    def train_step(batch, optim_wrapper):
        clock.now += next(durations)
        return 'losses'

    def read_loader(data_loader):
        clock.now += 1000
        return 0.25

    monkeypatch.setattr(loader, 'seconds_per_image', read_loader)
    windows = loader.Windows(train_step, None, warmup=1, iterations=2)
    batch = dict(inputs=torch.zeros(4, 3, 2, 2))
    # Waiting and step of a warm-up iteration and two that count, twice; two steps alone after each window.
    durations = iter([9, 3, 5, 3, 3, 7, 1, 1, 1, 3])
    for waiting in (9, 2, 0, 7, 6, 2):
        clock.now += waiting
        assert windows(batch, None) == 'losses'
    assert windows.seconds == dict(run=[10 / 8, 10 / 8], step=[6 / 8, 4 / 8], loader=[0.25, 0.25])
    assert windows.waiting == [0.2, 0.8]


def test_the_limit_is_the_slower_part_of_each_window():
    seconds = dict(run=[1.0, 2.0, 4.0], loader=[0.9, 0.5, 0.1], step=[0.4, 1.5, 3.2])
    numbers = loader.summarize_run(seconds, [0.1, 0.5, 0.2])
    assert numbers['ratio'] == pytest.approx(0.8)  # of 0.9, 0.75 and 0.8
    assert (numbers['limit'], numbers['waiting']) == ('step', 0.2)
    assert numbers['run_images_per_second'] == 0.5
    assert loader.summarize_run(dict(seconds, step=[0.1] * 3), [0.1] * 3)['limit'] == 'loader'


def test_program(tmp_path, monkeypatch, capsys):
    (tmp_path / 'own').mkdir()
    own = loader.write_images(tmp_path / 'own', 2)
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    options = ['--config', tiny.pretraining(tmp_path), '--data', tmp_path / 'own', '--out', tmp_path / 'numbers.json']
    options += ['--workers', 2, 1, 0, '--batch-size', 2, '--rounds', 1, '--repeats', 2, '--train', '--iterations', 1]
    trained = []
    build_runner = loader.cli.build_runner
    monkeypatch.setattr(loader.cli, 'build_runner', lambda cfg: trained.append(build_runner(cfg)) or trained[0])
    assert loader.main([*map(str, options)]) == 0
    numbers = json.loads((tmp_path / 'numbers.json').read_text())
    assert numbers['mean_file_kb'] == pytest.approx(sum(file.stat().st_size for file in own) / 2000)
    assert [row['workers'] for row in numbers['loader']] == [0, 1, 2]
    for row in numbers['loader']:
        again = loader.loader_row(row['workers'], row['seconds_per_image'], row['limit_seconds_per_image'])
        assert row == again
        assert len(row['seconds_per_image']) == len(row['limit_seconds_per_image']) == 2
    found = numbers['train']
    again = loader.summarize_run(found['seconds_per_image'], [found['waiting']])
    assert found == again
    # Two windows of one iteration, four before each, and one step alone after each.
    (runner,) = trained
    assert runner.iter == 2 * (4 + 1)
    assert runner.train_dataloader.num_workers == 2
    assert not any(hook.__class__.__name__ == 'FLSLCheckpointHook' for hook in runner.hooks)
    assert [*(tmp_path / 'temporary').glob('flsl_*')] == []
    assert f'{found["ratio"]:.1%}' in capsys.readouterr().out


def test_run_keeps_the_recipe(tmp_path, monkeypatch):
    """Only the files, the length and the checkpoints differ from what tools/train.py would run."""
    built = []

    def build_runner(cfg):
        built.append(cfg)
        return SimpleNamespace(model=SimpleNamespace(train_step=None), train=lambda: None)

    monkeypatch.setattr(loader.cli, 'build_runner', build_runner)
    path = PRETRAIN / 'flsl_vit-s16.py'
    args = SimpleNamespace(workers=[1, 8], batch_size=3, repeats=2, iterations=4)
    windows = loader.train(args, Config.fromfile(path), tmp_path, [tmp_path / 'a.jpg'], None)
    recipe = Config.fromfile(path)
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'env_cfg'):
        assert built[0][key] == recipe[key]
    assert built[0].default_hooks == dict(recipe.default_hooks, checkpoint=None)
    # What eight workers fetched ahead while the run stood still, two batches each, does not count.
    assert windows.warmup == 16
    assert len([*(tmp_path / 'train').iterdir()]) == 2 * (16 + 4) * 3


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--workers', '-1'], '--workers must be 0 or more, got -1'),
        (['--rounds', '0'], '--rounds must be at least 1, got 0'),
        (['--config', 'none.py'], 'no config none.py'),
        (['--config', str(DETECTION / 'mask-rcnn_flsl-vit-t16_fpn_scenes.py')], 'its model is MaskRCNN, not FLSL'),
        (['--data', 'nowhere'], 'nowhere'),
    ],
)
def test_mistakes(capsys, options, line):
    assert loader.main(options) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert line in error
