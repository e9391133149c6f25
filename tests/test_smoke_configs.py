"""Every config builds and its model takes one training step on synthetic inputs; `pytest -m smoke` runs only these."""

from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('mmpretrain')

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'configs').glob('*/*.py'))

pytestmark = pytest.mark.smoke


def drop_checkpoints(cfg: dict) -> None:
    """Remove the weights to load from every part of a model config."""
    for value in cfg.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                drop_checkpoints(part)
    if (cfg.get('init_cfg') or {}).get('type') == 'Pretrained':
        cfg.pop('init_cfg')


def detection_batch(cfg: Config) -> dict:
    """Make one picture of 64x64 with two objects of the first class, and let few regions be sampled."""
    from mmdet.testing import demo_mm_inputs

    cfg.model.train_cfg.rcnn.sampler.num = 16
    batch = demo_mm_inputs(1, (3, 64, 64), num_items=[2], num_classes=2, with_mask='mask_head' in cfg.model.roi_head)
    batch['data_samples'][0].gt_instances.labels.zero_()
    return batch


def pretraining_batch(cfg: Config) -> dict:
    """Make two teacher views of 64x64, and let the student views be as small."""
    cfg.model.data_preprocessor.global_crops.size = 64
    cfg.model.data_preprocessor.local_crops.size = 32
    return dict(inputs=[torch.randint(256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)])


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    monkeypatch.chdir(ROOT)
    torch.manual_seed(0)


@pytest.mark.parametrize('path', CONFIGS)
def test_config_builds_and_takes_a_training_step(path):
    cfg = Config.fromfile(path)
    drop_checkpoints(cfg.model)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if 'optim_wrapper' not in cfg:
        assert sum(1 for _ in MODELS.build(cfg.model).parameters()) > 0
        return
    batch = detection_batch(cfg) if cfg.default_scope == 'mmdet' else pretraining_batch(cfg)
    model = MODELS.build(cfg.model).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    logs = model.train_step(batch, wrapper)
    assert torch.isfinite(logs['loss'])
    pairs = zip(model.parameters(), before, strict=True)
    assert any(not torch.equal(parameter, old) for parameter, old in pairs)
