"""The snippets of docs/detectron2.md build detectors, on a small backbone."""

import re
from pathlib import Path

import pytest

from tests.builders.checkpoints import same

pytest.importorskip('detectron2', reason='detectron2 is not installed (docs/detectron2.md says how)')

from detectron2.config import instantiate
from detectron2.modeling import build_model

from flsl_mm.detectron2 import check_input

GUIDE = (Path(__file__).parents[2] / 'docs' / 'detectron2.md').read_text(encoding='utf-8')


def snippet(name: str, weights: str) -> dict:
    """Run a snippet on a backbone file of our own; return its variables."""
    code = re.search(f'<!-- {name} -->\n```python\n(.*?)```', GUIDE, re.DOTALL).group(1)
    assert 'some_backbone.pth' in code
    variables = {}
    exec(code.replace('some_backbone.pth', weights), variables)
    return variables


def test_lazy(vit, weights):
    found = snippet('lazy', weights)
    small = dict(arch=dict(embed_dim=16, depth=4, num_heads=2), img_size=64, out_indices=(0, 1, 2, 3))
    found['model'].backbone.bottom_up.update(small)
    model = instantiate(found['model'])
    assert same(model.backbone.bottom_up.vit.state_dict(), vit.state_dict())
    check_input(model, found['dataloader'].train.mapper.image_format)


def test_yacs(vit, weights):
    cfg = snippet('yacs', weights)['cfg']
    cfg.MODEL.DEVICE = 'cpu'
    cfg.MODEL.FLSL_VIT.update(EMBED_DIM=16, DEPTH=4, NUM_HEADS=2, IMG_SIZE=64, OUT_INDICES=[0, 1, 2, 3])
    assert same(build_model(cfg).backbone.bottom_up.vit.state_dict(), vit.state_dict())
    assert cfg.MODEL.WEIGHTS == ''
