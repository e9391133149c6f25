"""Whole tests through MMEngine's Runner with the shipped configs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS

from tests.builders.davis_tree import moving_squares, write_tree
from tests.builders.vos_run import CONFIGS, run, toy_config


def written(work_dir: Path) -> dict[str, bytes]:
    files = [path for kind in ('masks/*/*.png', '*.csv') for path in (work_dir / 'davis').glob(kind)]
    return {path.relative_to(work_dir / 'davis').as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    """Three videos: two objects; ids 1 and 3, of which 3 vanishes and returns; an object that comes later as id 1."""
    returns = moving_squares(7, (1, 3))
    returns[2:4][returns[2:4] == 3] = 0
    late = moving_squares(6, (2, 1))
    late[:2][late[:2] == 1] = 0
    videos = {'two': moving_squares(5, (1, 2)), 'returns': returns, 'late': late}
    return write_tree(tmp_path_factory.mktemp('davis') / 'DAVIS', videos)


@pytest.fixture(scope='module')
def single(tree, tmp_path_factory) -> tuple[dict, Path]:
    work_dir = tmp_path_factory.mktemp('single')
    cfg = toy_config(tree, work_dir)
    cfg.test_dataloader.update(num_workers=0, prefetch_factor=None)
    return run(cfg), work_dir


def test_a_run(single):
    metrics, work_dir = single
    assert metrics['DAVIS/videos'] == 3
    assert metrics['DAVIS/J&F-Mean'] > 0.8
    files = written(work_dir)
    assert len([name for name in files if name.startswith('masks/')]) == 5 + 7 + 6
    assert {'global_results.csv', 'per_object_results.csv'} <= set(files)
    # Ids 1 to the largest of the first frame: 2 of 'two', 3 of 'returns', 2 of 'late'.
    assert len(files['per_object_results.csv'].splitlines()) == 1 + 2 + 3 + 2
    images = {path.name for path in (work_dir / 'davis' / 'images').iterdir()}
    assert images == {'late.png', 'returns.png', 'two.png'}


@pytest.mark.parametrize('prefetch_factor', [1, 3])
def test_workers_change_nothing(tree, single, tmp_path, prefetch_factor):
    cfg = toy_config(tree, tmp_path)
    cfg.test_dataloader.update(num_workers=2, prefetch_factor=prefetch_factor)
    assert run(cfg) == single[0]
    assert written(tmp_path) == written(single[1])


@pytest.mark.slow
def test_processes_change_nothing(tree, single, tmp_path):
    """Two processes share three videos, so that one video is done twice."""
    root = Path(__file__).parents[2]
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += ['-m', 'tests.builders.vos_run', str(tree), str(tmp_path)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(root), os.environ.get('PYTHONPATH', '')]))
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert written(tmp_path) == written(single[1])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ('damage', 'path', 'line'),
    [
        (cut, 'JPEGImages/480p/{}/00002.jpg', 'cannot be read'),
        (Path.unlink, 'Annotations/480p/{}/00000.png', 'no first'),
    ],
)
def test_keep_going(tmp_path, damage, path, line):
    """Without it the run ends with one line; with it the other video is scored and the table names the failed one."""
    tree = write_tree(tmp_path / 'DAVIS', {'returns': moving_squares(4, (1,)), 'two': moving_squares(4, (1, 2))})
    damage(tree / path.format('returns'))
    with pytest.raises(ValueError, match=line) as raised:
        run(toy_config(tree, tmp_path / 'stops'))
    assert '\n' not in str(raised.value).strip()
    cfg = toy_config(tree, tmp_path / 'goes_on')
    cfg.test_dataloader.dataset.keep_going = True
    metrics = run(cfg)
    assert (metrics['DAVIS/videos'], metrics['DAVIS/failed_videos']) == (1, 1)
    rows = (tmp_path / 'goes_on' / 'davis' / 'per_object_results.csv').read_text().splitlines()
    assert [row.split(',')[0] for row in rows[1:]] == ['two_1', 'two_2', 'returns']
    assert line in rows[-1]


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_shipped_configs(path):
    """Each builds, and its backbone has the size that the file's name says."""
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    _, arch, _ = path.stem.replace('-', '_').split('_', 3)[1:]
    width, patch = arch[0], int(arch[1:])
    assert model.backbone.embed_dim == dict(t=192, s=384, b=768)[width]
    assert model.backbone.patch_size == patch
    assert (model.backbone.out_type, model.backbone.final_norm) == ('featmap', True)
    dataset = cfg.test_dataloader.dataset
    assert DATASETS.get(dataset.type) is not None
    if 'davis' in path.stem:
        assert (dataset.year, dataset.short_side) == (int(path.stem[-4:]), 480)
