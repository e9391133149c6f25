"""The benchmarks of loading: what is counted, what is compared with what, and that the programs run."""

from __future__ import annotations

import importlib
import json
import statistics
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from flsl_mm.datasets.images import FLSLImages

ROOT = Path(__file__).parents[2]
SCENES = ROOT / 'configs' / 'pretrain' / 'flsl_vit-t16_scenes.py'


@pytest.fixture
def program(monkeypatch):
    """Import a script of tools/benchmarks, which imports its neighbours as a program does."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'benchmarks'))
    return importlib.import_module


@pytest.fixture
def loading(program):
    return program('loading')


@pytest.fixture
def pictures(loading, tmp_path):
    loading.write_pictures(tmp_path, 3)
    return tmp_path


class Clock:
    """A clock that only goes when it is told to."""

    def __init__(self, monkeypatch, *modules) -> None:
        self.now = 100.0
        for module in modules:
            monkeypatch.setattr(module, 'time', SimpleNamespace(perf_counter=lambda: self.now))


def start(module, *options) -> int:
    threads = torch.get_num_threads()
    try:
        return module.measure.main(module.get_parser(), module.run, [str(option) for option in options])
    finally:
        torch.set_num_threads(threads)


class TestFiles:
    def test_written_files_are_like_imagenets(self, loading, pictures):
        files = loading.first_files(pictures, 10)
        assert [file.name for file in files] == ['000000.jpg', '000001.jpg', '000002.jpg']
        for file in files:
            with Image.open(file) as image:
                assert (image.format, image.mode, image.size) == ('JPEG', 'RGB', (500, 375))
        mean = sum(len(file.read_bytes()) for file in files) / 3000
        assert loading.mean_kilobytes(files) == pytest.approx(mean)
        assert 50 < mean < 110
        assert loading.first_files(pictures, 2) == files[:2]

    def test_own_folder_stays_and_a_temporary_one_goes(self, loading, tmp_path):
        with loading.picture_folder(tmp_path / 'own', 1) as own:
            (own / '000000.jpg').write_bytes(b'mine')
        with loading.picture_folder(tmp_path / 'own', 2) as own:
            assert [file.read_bytes() for file in own.iterdir()] == [b'mine']
        with loading.picture_folder(None, 1) as temporary:
            assert len(list(temporary.iterdir())) == 1
        assert not temporary.exists()

    def test_few_files_go_on_with_new_crops(self, loading, pictures):
        images = FLSLImages(pictures, size=32)
        stretched = loading.StretchedImages(length=1000, files=2, data_root=pictures, size=32)
        assert len(stretched) == 1000
        for index, expected in ((0, 0), (1, 1), (2, 3), (5, 7)):
            assert torch.equal(stretched[index]['inputs'], images[expected]['inputs'])
            assert stretched[index]['img_path'] == images.paths[index % 2]


class TestLoader:
    def test_config_differs_in_files_and_sizes_only(self, loading):
        base = Config.fromfile(ROOT / 'configs/pretrain/_base_/imagenet.py').train_dataloader
        changed = loading.loader_config(base, 0, 5, 4, data_root='pictures', files=3)
        kept = ('sampler', 'collate_fn', 'drop_last')
        assert {key: changed[key] for key in kept} == {key: base[key] for key in kept}
        assert (changed.num_workers, changed.persistent_workers, changed.batch_size) == (0, False, 4)
        assert changed.dataset == dict(
            type='StretchedImages', length=20, data_root='pictures', files=3, size=224, scale=(0.8, 1.0)
        )
        assert base.dataset.type == 'FLSLImages'

    def test_epoch_has_the_batches_that_were_asked_for(self, loading, pictures):
        base = Config.fromfile(SCENES).train_dataloader
        config = loading.loader_config(base, 0, 3, 2, data_root=str(pictures), files=3, size=16)
        batches = list(loading.build_loader(config))
        assert [batch['inputs'].shape for batch in batches] == [(2, 3, 16, 16)] * 3
        assert batches[0]['inputs'].dtype == torch.uint8

    def test_first_batch_of_each_worker_does_not_count(self, loading, monkeypatch):
        clock = Clock(monkeypatch, loading)

        class Loader:
            num_workers = 2

            def __len__(self):
                return 6

            def __iter__(self):
                for seconds in (50, 30, 1, 1, 1, 1):
                    clock.now += seconds
                    yield dict(inputs=torch.zeros(4, 3, 2, 2))

        assert loading.seconds_per_image(Loader()) == 4 / 16
        monkeypatch.setattr(Loader, '__len__', lambda self: 2)
        with pytest.raises(ValueError, match='2 batches are too few to time 2 workers'):
            loading.seconds_per_image(Loader())


class TestInputPipeline:
    single = dict(limit=[0.002, 0.004, 0.006], torchvision=[0.01] * 3, decoding=[0.001] * 3)

    def test_rates_and_ratios_by_hand(self, program):
        ours = {0: [0.004, 0.004, 0.004], 2: [0.001, 0.002, 0.003], 8: [0.001, 0.001, 0.001]}
        together = {0: [0.002] * 3, 2: [0.003, 0.003, 0.003], 8: [0.004] * 3}
        numbers = program('input_pipeline').summarize(ours, together, self.single, cores=4)
        none, two, eight = numbers['loader']
        assert numbers['single_thread'] == pytest.approx(dict(limit=250, torchvision=100, decoding=1000))
        assert (none['images_per_second'], none['images_per_second_per_core']) == pytest.approx((250, 250))
        assert (two['images_per_second'], two['images_per_second_per_core']) == pytest.approx((500, 250))
        assert (eight['images_per_second'], eight['images_per_second_per_core']) == pytest.approx((1000, 250))
        # limit / (busy cores x ours) of each turn: 2/4, 4/4, 6/4; 2/2, 4/4, 6/6; 2/4, 4/4, 6/4
        assert [row['ratio'] for row in numbers['loader']] == pytest.approx([1, 1, 1])
        # Together: 2/4; 3/2, 3/4, 3/6; eight processes on four cores need 4 ms each, so 2 ms of a core: 2/4.
        assert [row['ratio_together'] for row in numbers['loader']] == pytest.approx([0.5, 0.75, 0.5])
        assert numbers['on_16_cores'] == dict(measured=False, extrapolated_images_per_second=pytest.approx(4000))

    @pytest.mark.parametrize(('seconds', 'reached'), [(1 / 2999, False), (1 / 3001, True)])
    def test_16_cores(self, program, seconds, reached):
        numbers = program('input_pipeline').summarize({16: [seconds] * 3}, {16: [0.01] * 3}, self.single, cores=16)
        assert numbers['on_16_cores']['measured']
        assert numbers['on_16_cores']['reached'] == reached

    @pytest.mark.parametrize(('limit', 'reached'), [(0.84, False), (0.86, True)])
    def test_verdict_is_that_of_the_single_thread(self, program, limit, reached):
        single = dict(self.single, limit=[limit] * 3)
        numbers = program('input_pipeline').summarize({1: [1.0] * 3}, {1: [1.0] * 3}, single, cores=2)
        assert numbers['loader'][0]['reached'] == reached

    def test_program(self, program, pictures, tmp_path_factory, capsys):
        out = tmp_path_factory.mktemp('out') / 'numbers.json'
        options = ('--batch-size', 2, '--rounds', 2, '--images', 2, '--repeats', 2, '--data', pictures, '--out', out)
        assert start(program('input_pipeline'), '--workers', 0, 2, *options) == 0
        numbers = json.loads(out.read_text())
        assert numbers['files'] == 2
        assert [row['workers'] for row in numbers['loader']] == [0, 2]
        for row in numbers['loader']:
            assert len(row['seconds_per_image']) == len(row['limit_together_seconds_per_image']) == 2
            assert row['images_per_second'] == pytest.approx(1 / statistics.median(row['seconds_per_image']))
        assert {name: len(seconds) for name, seconds in numbers['seconds_per_image'].items()} == dict(
            limit=2, torchvision=2, decoding=2
        )
        assert '2 JPEG files' in capsys.readouterr().out

    @pytest.mark.parametrize('options', [('--workers', '-1'), ('--rounds', '1'), ('--images', '0')])
    def test_impossible_options(self, program, capsys, options):
        assert start(program('input_pipeline'), *options) == 2
        assert capsys.readouterr().err.startswith(f'error: {options[0]}' if options[0] != '--images' else 'error: --b')


class TestPretrain:
    def test_windows_by_hand(self, program, monkeypatch):
        pretrain = program('pretrain')
        clock = Clock(monkeypatch, pretrain, pretrain.measure)
        monkeypatch.setattr(pretrain, 'seconds_per_image', lambda loader: 0.25)
        args = SimpleNamespace(repeats=2, warmup=1, iterations=2, batch_size=4)

        def train_step(batch, optim_wrapper):
            clock.now += 3

        runner = SimpleNamespace(model=SimpleNamespace(train_step=train_step), optim_wrapper=None)
        hook = pretrain.WindowsHook(args, None, 'cpu')
        hook.before_train_epoch(runner)
        # Waiting and step of a warm-up iteration and two that count, twice.
        for waiting, step in ((9, 9), (2, 3), (0, 5), (7, 7), (6, 1), (2, 1)):
            clock.now += waiting
            hook.before_train_iter(runner, 0)
            clock.now += step
            hook.after_train_iter(runner, 0)
        assert hook.seconds == [10 / 8, 10 / 8]
        assert hook.waiting == [0.2, 0.8]
        assert hook.step == [6 / 8, 6 / 8]
        assert hook.loader == [0.25, 0.25]

    def test_limit_is_the_slower_part_of_each_turn(self, program):
        hook = SimpleNamespace(seconds=[1.0, 2.0, 4.0], loader=[0.9, 0.5, 0.1], step=[0.4, 1.5, 3.2], waiting=[0.1] * 3)
        numbers = program('pretrain').summarize(hook)
        assert numbers['ratio'] == pytest.approx(0.8)  # of 0.9, 0.75 and 0.8
        assert (numbers['limit'], numbers['reached']) == ('step', False)
        hook.seconds = [1.0, 1.7, 3.4]
        assert program('pretrain').summarize(hook)['reached']

    def test_program(self, program, pictures, tmp_path_factory, monkeypatch):
        folder = tmp_path_factory.mktemp('out')
        (folder / 'temporary').mkdir()
        monkeypatch.setattr(tempfile, 'tempdir', str(folder / 'temporary'))
        options = ('--batch-size', 2, '--iterations', 1, '--warmup', 1, '--repeats', 2, '--workers', 0)
        out = folder / 'numbers.json'
        assert start(program('pretrain'), '--config', SCENES, *options, '--data', pictures, '--out', out) == 0
        numbers = json.loads(out.read_text())
        run, loader, step = (numbers['seconds_per_image'][name] for name in ('run', 'loader', 'step'))
        assert len(run) == len(loader) == len(step) == 2
        ratios = [max(parts) / whole for *parts, whole in zip(loader, step, run, strict=True)]
        assert numbers['ratio'] == pytest.approx(statistics.median(ratios))
        assert 0 < numbers['waiting_share'] < 1
        assert list((folder / 'temporary').iterdir()) == []

    def test_run_keeps_the_recipe_and_writes_no_checkpoint(self, program):
        pretrain = program('pretrain')
        args = SimpleNamespace(config=pretrain.CONFIG, repeats=2, warmup=1, iterations=4, batch_size=8, workers=0)
        cfg, alone = pretrain.run_config(args, Path('pictures'), 3, 'work')
        recipe = Config.fromfile(pretrain.CONFIG)
        for key in ('model', 'optim_wrapper', 'param_scheduler', 'custom_hooks', 'env_cfg'):
            assert cfg[key] == recipe[key]
        assert cfg.default_hooks == dict(recipe.default_hooks, checkpoint=None)
        assert cfg.train_dataloader.dataset.length == 2 * (1 + 4) * 8
        assert alone.dataset.length == pretrain.ROUNDS * 8
        assert dict(cfg.train_dataloader, dataset=None) == dict(alone, dataset=None)

    @pytest.mark.parametrize(('workers', 'warmup'), [(0, 2), (8, 16)])
    def test_warm_up_uses_what_was_fetched_during_the_pause(self, program, workers, warmup):
        pretrain = program('pretrain')
        args = pretrain.get_parser().parse_args(['--workers', str(workers)])
        pretrain.complete(args)
        assert args.warmup == warmup

    @pytest.mark.parametrize(
        ('options', 'start_of_line'),
        [(('--config', 'nowhere.py'), 'error: no config nowhere.py'), (('--warmup', 0), 'error: --batch-size,')],
    )
    def test_impossible_options(self, program, capsys, options, start_of_line):
        assert start(program('pretrain'), *options) == 2
        assert capsys.readouterr().err.startswith(start_of_line)
