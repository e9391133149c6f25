"""`init_cfg` of a backbone: through a real Runner and mmdet, once."""

import logging
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, PretrainedInit
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn

from flsl_mm.checkpoint import CheckpointError
from flsl_mm.models import FLSLViT
from flsl_mm.utils.compat import install
from tests.builders.checkpoints import ARCH, equal_states, file_of, official, tiny
from tests.builders.detectors import DETECTORS, NUM_CLASSES


@pytest.mark.parametrize(
    'init_cfg',
    [
        dict(type='Pretrained', checkpoint='a.pth', prefix='backbone.'),
        dict(type='Pretrained', checkpoint=''),
        dict(type='Pretrained'),
        [dict(type='Pretrained', checkpoint='a.pth'), dict(type='Xavier', layer='Linear')],
    ],
)
def test_init_cfg_with_other_options_is_refused(init_cfg):
    with pytest.raises(ValueError, match=r"init_cfg is one dict\(type='Pretrained', checkpoint=PATH"):
        tiny(init_cfg=init_cfg)


@pytest.mark.parametrize('kind', ['Pretrained', 'PretrainedInit', 'mmengine.PretrainedInit', PretrainedInit])
@pytest.mark.parametrize('listed', [False, True])
def test_every_name_of_mmengines_initialiser_leads_to_ours(tmp_path, kind, listed):
    init_cfg = dict(type=kind, checkpoint=str(tmp_path / 'a.pth'))
    torch.save(dict(state_dict={'norm.bias': torch.zeros(16)}), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='no vision transformer in the checkpoint'):
        tiny(init_cfg=[init_cfg] if listed else init_cfg).init_weights()


def test_weights_are_loaded_once_and_a_line_is_logged(pretrained):
    """MMEngine's own report has a line for each of the tensors."""
    backbone = MODELS.build(pretrained)
    records, handler = [], logging.Handler(logging.INFO)
    handler.emit = records.append
    MMLogger.get_current_instance().addHandler(handler)
    backbone.init_weights()
    MMLogger.get_current_instance().removeHandler(handler)
    [record] = records
    assert record.getMessage().startswith('loaded 29/29 backbone tensors')
    assert backbone.is_init
    assert equal_states(tiny(3), backbone)
    nn.init.ones_(backbone.norm.bias)
    backbone.init_weights()
    assert (backbone.norm.bias == 1).all()


def test_another_branch_is_refused(tmp_path):
    torch.save(official(), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match="branch must be 'teacher' or 'student'"):
        tiny(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), branch='ema')).init_weights()


def test_other_init_cfgs_are_mmengines():
    backbone = tiny(init_cfg=dict(type='Constant', layer='LayerNorm', val=3.0))
    backbone.init_weights()
    assert (backbone.norm.weight == 3).all()
    plain = tiny(5)
    plain.init_weights()
    assert equal_states(tiny(5), plain)


class Detector(BaseModel):
    """Holds a backbone as detectors do, with an initialization of its own that would overwrite it."""

    def __init__(self, backbone: dict) -> None:
        super().__init__(init_cfg=dict(type='Constant', layer=['Linear', 'LayerNorm', 'Conv2d'], val=0.5))
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(16, 1)

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.head(self.backbone(torch.stack(inputs))[0].flatten(2).mT).mean())


def train_one_step(model: dict | nn.Module, dataset: list, folder: Path, **options) -> Runner:
    runner = Runner(
        model,
        str(folder / 'work'),
        train_dataloader=dict(dataset=dataset, sampler=dict(type='DefaultSampler'), batch_size=2),
        train_cfg=dict(by_epoch=False, max_iters=1),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.0)),
        default_hooks=dict(checkpoint=None),
        experiment_name=folder.name,
        **options,
    )
    runner.train()
    assert runner.iter == 1
    return runner


@pytest.fixture
def pretrained(tmp_path) -> dict:
    """Return a backbone config whose file holds `tiny(3)`."""
    torch.save(file_of(tiny(3)), tmp_path / 'a.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    return dict(type='FLSLViT', arch=ARCH, patch_size=8, img_size=32, init_cfg=init_cfg, drop_path_rate=0.5)


@torch.no_grad()
def assert_same_features(backbone: FLSLViT) -> None:
    images = torch.randn(2, 3, 24, 40)
    assert torch.equal(tiny(3, out_type='featmap')(images)[0], backbone.eval()(images)[0])


def test_weights_survive_the_runner(pretrained, tmp_path):
    dataset = [dict(inputs=torch.randn(3, 32, 32)) for _ in range(2)]
    runner = train_one_step(Detector(pretrained), dataset, tmp_path)
    assert (runner.model.head.weight == 0.5).all(), 'the model around the backbone was not initialized'
    assert_same_features(runner.model.backbone)
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert log.count('loaded 29/29 backbone tensors') == 1


@pytest.mark.filterwarnings('ignore:mmcv was installed without')
def test_weights_survive_the_runner_of_an_mmdet_detector(tmp_path):
    pytest.importorskip('mmdet')
    install()
    testing = pytest.importorskip('mmdet.testing', exc_type=ImportError)
    model = DETECTORS['RetinaNet']()
    source = MODELS.build(model['backbone'])
    torch.save(file_of(source), tmp_path / 'b.pth')
    model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'b.pth'))
    inputs = testing.demo_mm_inputs(2, [[3, 64, 64]] * 2, num_classes=NUM_CLASSES)
    dataset = [dict(zip(inputs, item, strict=True)) for item in zip(*inputs.values(), strict=True)]
    runner = train_one_step(model, dataset, tmp_path, default_scope='mmdet')
    assert equal_states(runner.model.backbone, source)
