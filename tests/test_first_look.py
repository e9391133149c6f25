"""The notebook for newcomers runs as it is, on what is shipped with it."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import flsl_mm
from flsl_mm.checkpoint import backbone_file, read_checkpoint
from flsl_mm.scenes.painter import render_scene

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[1] / 'docs'
SHIPPED = DOCS / 'first_look'


def test_the_notebook_runs(monkeypatch):
    nbformat = pytest.importorskip('nbformat', reason='nbclient and ipykernel are in the extra `tests`')
    nbclient = pytest.importorskip('nbclient')
    pytest.importorskip('ipykernel')
    monkeypatch.delenv('MPLBACKEND', raising=False)  # it would keep images out of the notebook
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(DOCS.parent), os.environ.get('PYTHONPATH', '')]))
    notebook = nbformat.read(DOCS / 'first_look.ipynb', as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        cell.pop('outputs', None)
        if cell.cell_type == 'code':
            cell.outputs = []
    resources = {'metadata': {'path': str(DOCS)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name='python3', resources=resources).execute()
    kinds = [kind for cell in notebook.cells for output in cell.get('outputs', ()) for kind in output.get('data', ())]
    assert kinds.count('image/png') == 4
    assert any('torch.Size([24, 32, 192])' in str(cell.get('outputs')) for cell in notebook.cells)


def test_the_backbone_is_small_and_trained():
    path = SHIPPED / 'backbone.pth'
    assert path.stat().st_size < 4e6
    model = flsl_mm.load_model(path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert (model.spec.depth, model.embed_dim, model.patch_size) == (4, 192, 8)
    # Trained: patches of one object are more alike, beside others of their color, than random weights make them.
    from flsl_mm.evaluation.probes.scenes import ScenesProbe
    from flsl_mm.evaluation.probes.sources import random_weights

    probe = ScenesProbe(num_scenes=32)
    trained, random = (probe(source)['matched_auc'].value for source in (model, random_weights(model.spec)))
    assert trained > random + 0.04


def test_the_model_zoo_names_this_file():
    """By its SHA-256, and with a log of as many steps as it says."""
    page = (DOCS / 'model_zoo.md').read_text(encoding='utf-8')
    assert hashlib.sha256((SHIPPED / 'backbone.pth').read_bytes()).hexdigest() in page
    last = json.loads((SHIPPED / 'training_log.json').read_text().splitlines()[-1])
    assert (last['epoch'], last['step']) == (5, 8628)
    assert '5 epochs, 8,660 steps' in page


def test_half_precision_is_computed_in_full(tmp_path):
    """A file of float16 gives the features of the same values in float32."""
    half = read_checkpoint(SHIPPED / 'backbone.pth')
    assert {t.dtype for name, t in half['state_dict'].items() if name != 'pos_embed'} == {torch.float16}
    assert half['state_dict']['pos_embed'].dtype == torch.float32
    model = flsl_mm.load_model(SHIPPED / 'backbone.pth')
    torch.save(backbone_file(model.backbone, model.spec.mean, model.spec.std), tmp_path / 'full.pth')
    image = SHIPPED / 'images/coffee.jpg'
    assert torch.equal(flsl_mm.load_model(tmp_path / 'full.pth').features(image), model.features(image))


@pytest.mark.parametrize(('name', 'index'), [('scene-gravel', 0), ('scene-meadow', 2)])
def test_the_scenes_are_those_that_the_text_names(name, index):
    shipped = np.array(Image.open(SHIPPED / f'images/{name}.jpg')).astype(int)
    painted = render_scene(0, index, (192, 256), split='val').image
    assert np.abs(shipped - painted).mean() < 6
