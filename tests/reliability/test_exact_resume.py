"""A run that is killed and resumed, again and again, ends bit for bit where an undisturbed one ends."""

import os
import random
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from flsl_mm.checkpoint import read_checkpoint
from flsl_mm.engine.hooks.preemption import EXIT_CODE
from tests.builders.children import OUTPUT, Fault, finish, logged, start, train, train_on_two
from tests.builders.toy_run import ITERATIONS, toy_config, write_images

pytestmark = pytest.mark.slow

PLACES = ('batch', 'forward', 'teacher', 'write', 'rename', 'pointer', 'export')
# Runs of up to seven kills at chosen places, and twice as many kills at any moment.
CHAINS = int(os.environ.get('FLSL_KILL_CHAINS', 2))
VARIANTS = {
    'plain': {},
    'workers': dict(train_dataloader__num_workers=2, train_dataloader__persistent_workers=True),
    'shards': dict(train_dataloader__num_workers=2, train_dataloader__dataset__type='FLSLShards'),
    # Epochs of 6 iterations and checkpoints after 4, 8, ...: both between two steps of 5 accumulated batches.
    # Positions are jittered, for which each process draws its own windows.
    'accumulating': dict(
        optim_wrapper__accumulative_counts=5, model__backbone__position_jitter=dict(range=24.0, zoom=1.5)
    ),
}


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp('images'))


@pytest.fixture(scope='module')
def configure(tmp_path_factory, images) -> Callable[[str, Path], Config]:
    """Make the config of a variant; its shards are the images in three tar files."""
    shards = tmp_path_factory.mktemp('shards')
    files = sorted(images.iterdir())
    for number, packed in enumerate((files[:10], files[10:13], files[13:])):
        with tarfile.open(shards / f'{number}.tar', 'w') as tar:
            for file in packed:
                tar.add(file, file.name)
    return lambda variant, folder: toy_config(shards if variant == 'shards' else images, folder, **VARIANTS[variant])


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory, configure):
    """Give the folder of a run that nothing stopped, by variant; neither workers nor shards change the numbers."""
    folders = {}

    def run(variant: str) -> Path:
        variant = 'plain' if variant in ('workers', 'shards') else variant
        if variant not in folders:
            folders[variant] = tmp_path_factory.mktemp(variant)
            assert train(configure(variant, folders[variant])) == 0
        return folders[variant]

    return run


def same(left, right) -> bool:
    """Compare nested dicts and lists of tensors and plain values bit by bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def assert_same_end(folder: Path, reference: Path) -> None:
    """Compare weights, teacher, center, optimizer, schedules and logged values of two finished runs."""
    name = f'iter_{ITERATIONS}.pth'
    ours, theirs = read_checkpoint(folder / name), read_checkpoint(reference / name)
    assert {'center', 'teacher.head.mlp.0.weight'} <= set(theirs['state_dict'])
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert same(ours[part], theirs[part]), part
    for key, history in theirs['message_hub']['log_scalars'].items():
        if not key.endswith('time'):
            assert [list(x) for x in ours['message_hub']['log_scalars'][key].data] == [list(x) for x in history.data]
    assert not [*folder.glob('.*.partial')]
    kept = {path.stem for path in folder.glob('iter_*.pth') if 'backbone' not in path.stem}
    assert {path.stem for path in folder.glob('*_backbone.pth')} == {f'{stem}_backbone' for stem in kept}
    for stem in kept:
        backbone = read_checkpoint(folder / f'{stem}_backbone.pth')['state_dict']
        state = read_checkpoint(folder / f'{stem}.pth')['state_dict']
        assert all(torch.equal(state[f'teacher.backbone.{key}'], value) for key, value in backbone.items())
    expected = logged(reference)
    assert sorted(expected) == list(range(1, ITERATIONS + 1))
    for iteration, entries in logged(folder).items():
        assert all(entry == expected[iteration][0] for entry in entries), iteration


@pytest.mark.parametrize(
    ('variant', 'seed', 'kills'),
    [
        *(('plain', seed, len(PLACES)) for seed in range(CHAINS)),
        ('workers', 102, 2),
        ('shards', 103, 2),
        ('accumulating', 104, 5),
    ],
)
def test_killed_and_resumed(variant, seed, kills, tmp_path, configure, undisturbed):
    rng = random.Random(seed)
    cfg = configure(variant, tmp_path)
    places = rng.sample(PLACES, len(PLACES))
    newest = 0
    for place in places[:kills]:
        if newest == ITERATIONS:
            break
        # Up to one iteration past the next checkpoint, so that the run gets on, and sometimes it does not.
        fault = Fault(min(newest + rng.randrange(6), ITERATIONS - 2), place)
        assert train(cfg, fault) == -signal.SIGKILL
        newest = max([int(path.stem[5:]) for path in tmp_path.glob('iter_*[0-9].pth')], default=0)
    assert train(cfg) == 0
    assert_same_end(tmp_path, undisturbed(variant))


def test_killed_at_random_moments(tmp_path, images, undisturbed):
    rng = random.Random(5)
    kills = 0
    while kills < 2 * CHAINS:
        cfg = toy_config(images, tmp_path / str(kills))
        code = -signal.SIGKILL
        while code != 0:
            code = kill_after(cfg, rng.uniform(0, 0.5))
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
        assert_same_end(Path(cfg.work_dir), undisturbed('plain'))


def kill_after(cfg: Config, seconds: float) -> int:
    """Start a run and kill it ``seconds`` after its training began; returns its exit code, 0 if it was faster."""
    before = len(output_of(cfg))
    run = start(cfg)
    while run.is_alive() and 'steps per epoch' not in output_of(cfg)[before:]:
        time.sleep(0.005)
    run.join(seconds)
    run.kill()
    return finish(run)


def output_of(cfg: Config) -> str:
    """Read what the runs in a work folder have written so far."""
    path = Path(cfg.work_dir) / OUTPUT
    return path.read_text() if path.is_file() else ''


@pytest.mark.parametrize('variant', list(VARIANTS))
@pytest.mark.parametrize('iteration', [2, 5, 10])
def test_preempted_and_resumed(variant, iteration, tmp_path, configure, undisturbed):
    cfg = configure(variant, tmp_path)
    # The whole group, as clusters do: loader workers must not die before the checkpoint is written.
    assert train(cfg, Fault(iteration, signum=signal.SIGTERM, group=True)) == EXIT_CODE == 75
    checkpoint = tmp_path / f'preempted_iter_{iteration + 1}.pth'
    assert read_checkpoint(checkpoint)['meta']['iter'] == iteration + 1
    assert (tmp_path / f'preempted_iter_{iteration + 1}_backbone.pth').is_file()
    line = (tmp_path / OUTPUT).read_text().splitlines()[-1]
    assert f'stopped after iteration {iteration + 1} with the checkpoint {checkpoint}' in line
    assert train(cfg) == 0
    assert f'resumed epoch: {iteration // 6}, iter: {iteration + 1}' in (tmp_path / OUTPUT).read_text()
    assert not checkpoint.is_file()
    assert_same_end(tmp_path, undisturbed(variant))


def test_copy_of_a_work_folder_leaves_the_original_alone(tmp_path, images, undisturbed):
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    assert train(toy_config(images, original), Fault(9, signum=signal.SIGTERM)) == EXIT_CODE
    shutil.copytree(original, copy)
    before = {path: path.stat().st_mtime_ns for path in original.rglob('*')}
    assert train(toy_config(images, copy)) == 0
    assert_same_end(copy, undisturbed('plain'))
    assert {path: path.stat().st_mtime_ns for path in original.rglob('*')} == before


@pytest.fixture(scope='module')
def undisturbed_pair(tmp_path_factory, images) -> Path:
    """Return the folder of a run of two processes that nothing stopped."""
    folder = tmp_path_factory.mktemp('pair')
    assert train_on_two(pair_config(images, folder)) == [0, 0]
    return folder


def pair_config(images: Path, folder: Path) -> Config:
    return toy_config(images, folder, train_dataloader__batch_size=2, **VARIANTS['accumulating'])


def test_two_processes_killed_and_resumed(tmp_path, images, undisturbed_pair):
    cfg = pair_config(images, tmp_path)
    codes = train_on_two(cfg, {1: Fault(9)})
    assert codes == [2, -signal.SIGKILL]
    assert 'error in rank 0 of 2' in (tmp_path / OUTPUT).read_text()
    assert 'another process of this job has ended' in (tmp_path / OUTPUT).read_text()
    assert train_on_two(cfg) == [0, 0]
    assert_same_end(tmp_path, undisturbed_pair)


def test_two_processes_agree_on_the_iteration_when_one_is_preempted(tmp_path, images, undisturbed_pair):
    cfg = pair_config(images, tmp_path)
    assert train_on_two(cfg, {1: Fault(6, signum=signal.SIGTERM)}) == [EXIT_CODE, EXIT_CODE]
    # Five batches make a step, and only rank 0 writes.
    assert (tmp_path / 'preempted_iter_10.pth').is_file()
    assert train_on_two(cfg) == [0, 0]
    assert_same_end(tmp_path, undisturbed_pair)
