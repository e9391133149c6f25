"""tools/embed.py: files, neighbors, bad images, and mistakes that are told before anything is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from flsl_mm.commands import embed, visualize
from flsl_mm.commands.embed.table import read_embeddings
from flsl_mm.datasets.images import FLSLImages
from flsl_mm.evaluation.probes import ClassificationProbe
from tests.builders.checkpoints import file_of, tiny
from tests.builders.images import make_image

KNN = ('--knn', 'images/0.png')


@pytest.fixture
def given(tmp_path) -> list[str]:
    torch.save(file_of(tiny(3)), tmp_path / 'model.pth')
    (tmp_path / 'images').mkdir()
    for number in range(4):
        make_image(seed=number).save(tmp_path / f'images/{number}.png')
    (tmp_path / 'images/bad.jpg').write_bytes(b'bad')
    return [str(tmp_path / 'model.pth'), str(tmp_path / 'images'), '--size', '32', '--device', 'cpu']


def test_embeds_then_shows_neighbors_without_embedding_again(given, tmp_path, capsys):
    out = tmp_path / 'new/x.npz'
    assert embed.main([*given, '--out', str(out)]) == 0
    said = capsys.readouterr()
    assert f'{out} written: 4 images, 16 channels' in said.out
    assert 'bad.jpg (no image of a kind' in said.err
    query = tmp_path / 'images/2.png'
    assert embed.main([*given, '--out', str(out), '--knn', str(query), '--k', '2']) == 0
    said = capsys.readouterr().out
    assert f'{out} is complete' in said
    assert f'{query}: nearest is ' in said
    assert '2.png (cosine' not in said
    assert Image.open(tmp_path / 'new/x_knn.png').width > 500


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--out', 'x.npz', '--sheet', 'x.npz', *KNN], 'x.npz is another file of --out: name the sheet otherwise'),
        (['--out', 'x.npz', '--sheet', 'x_patches.npy', *KNN], 'x_patches.npy is another file of --out'),
        (['--out', 'x.npz', '--sheet', 'images/1.png', *KNN, '--force'], 'images/1.png is among the images: name the'),
        (['--out', 'x.npz', '--sheet', 'file', *KNN], 'file exists: name the sheet otherwise or remove it'),
        (['--out', 'y.npz', *KNN], 'y_knn.png exists: name the sheet otherwise or remove it'),
        (['--out', 'x.csv'], 'x.csv must end in .npz or .parquet'),
        (['--out', 'file/x.npz'], 'cannot write file/x.npz'),
        (['--out', 'x.npz', '--knn', 'none.png'], 'no image none.png'),
    ],
)
def test_mistakes_are_told_first(given, tmp_path, capsys, monkeypatch, options, line):
    monkeypatch.chdir(tmp_path)
    for name in ('file', 'y_knn.png'):
        (tmp_path / name).write_text('')
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr('flsl_mm.commands.model_options.load_model_from_args', lambda *_: pytest.fail('too late'))
    assert embed.main([*given, *options]) == 2
    assert capsys.readouterr().err.startswith(f'error: {line}')
    assert sorted(tmp_path.iterdir()) == before


WITHOUT_OPENMMLAB = """
import importlib.util, sys

MISSING, find_spec = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain'), importlib.util.find_spec

class Blocked:
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in MISSING:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Blocked)
importlib.util.find_spec = lambda name, *rest: None if name in MISSING else find_spec(name, *rest)

from flsl_mm.commands import embed
sys.exit(embed.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_without_openmmlab(given, tmp_path):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, '-c', WITHOUT_OPENMMLAB, *given, '--out', str(tmp_path / 'x.npz')]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert 'x.npz written: 4 images' in done.stdout, done.stderr


def test_a_missing_folder(given, tmp_path, capsys):
    assert embed.main([given[0], str(Path('nowhere')), '--out', str(tmp_path / 'x.npz')]) == 2
    assert 'nowhere: a folder of images' in capsys.readouterr().err


def test_training_embedding_drawing_and_evaluation_see_the_same_files(given, tmp_path):
    """Links to folders are followed, hidden files and folders left out."""
    root = tmp_path / 'classes/val/own'
    root.mkdir(parents=True)
    (tmp_path / 'images/bad.jpg').unlink()
    (root / 'linked').symlink_to(tmp_path / 'images')
    for name in ('own.PNG', '.hidden.png', '.ipynb_checkpoints/copy.png', 'photo.jfif'):
        (root / name).parent.mkdir(exist_ok=True)
        make_image().save(root / name, 'PNG')
    (tmp_path / 'classes/train').symlink_to('val')
    expected = [*(f'linked/{number}.png' for number in range(4)), 'own.PNG', 'photo.jfif']
    assert embed.main([given[0], str(root), '--out', str(tmp_path / 'x.npz'), *given[2:]]) == 0
    lists = {
        'training': FLSLImages(root).paths,
        'embed': [root / name for name in read_embeddings(tmp_path / 'x.npz').paths],
        'visualize': visualize.list_images([root]),
        'evaluate': ClassificationProbe(tmp_path / 'classes').images,
    }
    for paths in lists.values():
        assert [Path(path).relative_to(root).as_posix() for path in paths] == expected
