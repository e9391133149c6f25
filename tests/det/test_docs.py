"""The snippet of docs/detection.md turns an existing mmdet config into one that builds, with the right strides."""

import re
from pathlib import Path

import pytest

pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from flsl_mm.engine.detection_check import check_strides
from flsl_mm.models import FLSLViT

from .detectors import DETECTORS

DOCS = Path(__file__).parents[2] / 'docs' / 'detection.md'


def test_documented_snippet_turns_a_resnet_config_into_one_with_flsl(tmp_path):
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    detector = DETECTORS['Mask R-CNN']()
    detector['backbone'] = dict(
        type='ResNet', depth=50, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')
    )
    detector['neck'] = dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=32, num_outs=5)
    existing = Config(
        dict(model=detector, optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02)))
    )
    existing.dump(tmp_path / 'your_config.py')

    snippet = re.search(r'<!-- drop-in -->\n```python\n(.*?)```', DOCS.read_text(), re.DOTALL)[1]
    (tmp_path / 'config.py').write_text(snippet.replace('out_channels=256', 'out_channels=32'))
    cfg = Config.fromfile(tmp_path / 'config.py')
    assert cfg.model.backbone.pop('init_cfg').type == 'Pretrained'
    model = MODELS.build(cfg.model)
    assert isinstance(model.backbone, FLSLViT)
    check_strides(model)
    rates = build_optim_wrapper(model, cfg.optim_wrapper).get_lr()['lr']
    assert max(rates) == pytest.approx(1e-4)
    assert min(rates) == pytest.approx(1e-4 * 0.75**13)
