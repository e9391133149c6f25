"""tools/embed.py: files, neighbors, bad images, and mistakes that are told before anything is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flsl_mm.commands import embed, visualize
from flsl_mm.commands.embed.table import read_embeddings
from flsl_mm.datasets.images import FLSLImages
from flsl_mm.evaluation.probes import ClassificationProbe
from tests.builders.images import make_image
from tests.builders.programs import refused

GIVEN = ['ours.pth', 'in', '--size', '32', '--device', 'cpu']
KNN = ['--knn', 'in/a.png']


def test_embeds_then_shows_neighbors_without_embedding_again(here, capsys):
    out = here / 'new/x.npz'
    assert embed.main([*GIVEN, '--out', str(out)]) == 0
    said = capsys.readouterr()
    assert f'{out} written: 3 images, 16 channels' in said.out
    assert 'bad.jpg (no image of a kind' in said.err
    assert embed.main([*GIVEN, '--out', str(out), '--knn', 'in/a.png', '--k', '2']) == 0
    said = capsys.readouterr().out
    assert f'{out} is complete' in said
    assert 'in/a.png: nearest is ' in said
    assert 'a.png (cosine' not in said
    assert Image.open(here / 'new/x_knn.png').width > 500
    nowhere = refused(embed.main, ['ours.pth', 'nowhere', '--out', 'x.npz'], capsys, alone=False)
    assert 'nowhere: a folder of images' in nowhere


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--out', 'x.npz', '--sheet', 'x.npz', *KNN], 'x.npz is another file of --out: name the sheet otherwise'),
        (['--out', 'x.npz', '--sheet', 'x_patches.npy', *KNN], 'x_patches.npy is another file of --out'),
        (['--out', 'x.npz', '--sheet', 'in/b.png', *KNN, '--force'], 'in/b.png is among the images: name the sheet'),
        (['--out', 'x.npz', '--sheet', 'ours.pth', *KNN], 'ours.pth exists: name the sheet otherwise or remove it'),
        (['--out', 'y.npz', *KNN], 'y_knn.png exists: name the sheet otherwise or remove it'),
        (['--out', 'x.csv'], 'x.csv must end in .npz or .parquet'),
        (['--out', 'ours.pth/x.npz'], 'cannot write ours.pth/x.npz'),
        (['--out', 'x.npz', '--knn', 'none.png'], 'no image none.png'),
    ],
)
def test_mistakes_are_told_first(here, capsys, monkeypatch, options, line):
    (here / 'y_knn.png').touch()
    before = sorted(here.iterdir())
    monkeypatch.setattr('flsl_mm.commands.model_options.load_model_from_args', lambda *_: pytest.fail('too late'))
    assert line in refused(embed.main, [*GIVEN, *options], capsys)
    assert sorted(here.iterdir()) == before


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
def test_without_openmmlab(here):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]))
    command = [sys.executable, '-c', WITHOUT_OPENMMLAB, *GIVEN, '--out', 'x.npz']
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert 'x.npz written: 3 images' in done.stdout, done.stderr


def test_training_embedding_drawing_and_evaluation_see_the_same_files(here):
    """Links to folders are followed, hidden files and folders left out."""
    root = here / 'classes/val/own'
    root.mkdir(parents=True)
    (here / 'in/bad.jpg').unlink()
    (root / 'linked').symlink_to(here / 'in')
    for name in ('own.PNG', '.hidden.png', '.ipynb_checkpoints/copy.png', 'photo.jfif'):
        (root / name).parent.mkdir(exist_ok=True)
        make_image().save(root / name, 'PNG')
    (here / 'classes/train').symlink_to('val')
    assert embed.main(['ours.pth', str(root), '--out', 'x.npz', *GIVEN[2:]]) == 0
    for paths in (
        FLSLImages(root).paths,
        [root / name for name in read_embeddings(here / 'x.npz').paths],
        visualize.list_images([root]),
        ClassificationProbe(here / 'classes').images,
    ):
        names = [Path(path).relative_to(root).as_posix() for path in paths]
        assert names == ['linked/a.png', 'linked/b.png', 'linked/deep/c.png', 'own.PNG', 'photo.jfif']
