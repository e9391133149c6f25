"""The snippet of docs/detection.md turns mmdet's configs into ones with FLSL that build, fit and train."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from flsl_mm.detection.check_hook import check_channels, check_num_classes, check_strides
from flsl_mm.engine.model_check import check_model_input
from flsl_mm.models import FLSLViT
from flsl_mm.models.spec import IMAGENET_MEAN, IMAGENET_STD
from tests.builders.detectors import DETECTORS

pytestmark = pytest.mark.smoke

DOCS = Path(__file__).parents[2] / 'docs' / 'detection.md'
FPN = "dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=5),  # your neck, with these in_channels"
STRIDE_4 = {}
STRIDE_8 = {  # what the guide says about detectors that start at stride 8
    'out_indices=(3, 5, 7, 11)': 'out_indices=(5, 7, 11)',
    'patch_size=16),': 'patch_size=16, strides=(8, 16, 32)),',
}
WITH_FPN = {'[384] * 4, ': "[384] * 3, add_extra_convs='on_output', "}
OWN_NECK = {FPN: 'dict(BASE_NECK, in_channels=[384] * 3),'}
ONE_MAP = {
    'out_indices=(3, 5, 7, 11)': 'out_indices=(11,)',
    'patch_size=16),': 'patch_size=16, strides=(32,)),',
    FPN: 'dict(BASE_NECK, in_channels=[384]),',
}
NO_NECK = {FPN: '', '    ],\n)': '    ],\n    panoptic_head=dict(in_channels=[384] * 4),\n)'}


def apply_snippet(existing: Path, folder: Path, changes: dict[str, str]) -> Config:
    """Write the documented config on top of an existing one, and read it."""
    snippet = re.search(r'<!-- drop-in -->\n```python\n(.*?)```', DOCS.read_text(), re.DOTALL)[1]
    neck = Config.fromfile(existing).model.get('neck')
    for old, new in {"'your_config.py'": repr(str(existing)), **changes}.items():
        assert snippet.count(old) == 1, old
        snippet = snippet.replace(old, new.replace('BASE_NECK', repr(neck)))
    (folder / 'config.py').write_text(snippet)
    cfg = Config.fromfile(folder / 'config.py')
    assert cfg.model.backbone.pop('init_cfg').type == 'Pretrained'
    return cfg


def test_documented_snippet_turns_a_resnet_config_into_one_with_flsl(tmp_path):
    init_default_scope('mmdet')
    detector = DETECTORS['Mask R-CNN']()
    detector['backbone'] = dict(
        type='ResNet', depth=50, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')
    )
    detector['neck'] = dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=32, num_outs=5)
    optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02), clip_grad=dict(max_norm=1.0))
    hooks = dict(default_hooks=dict(timer=dict(type='IterTimerHook')))
    Config(dict(model=detector, optim_wrapper=optim_wrapper, **hooks)).dump(tmp_path / 'your_config.py')

    cfg = apply_snippet(tmp_path / 'your_config.py', tmp_path, {'out_channels=256': 'out_channels=32'})
    added = dict(check=dict(type='FLSLDetectionCheckHook'), non_finite=dict(type='FLSLNonFiniteHook'))
    assert cfg.default_hooks == dict(timer=dict(type='IterTimerHook'), **added)
    model = MODELS.build(cfg.model)
    assert isinstance(model.backbone, FLSLViT)
    check_strides(model)
    assert 'clip_grad' not in cfg.optim_wrapper  # `_delete_` drops it, as the guide says
    rates = build_optim_wrapper(model, cfg.optim_wrapper).get_lr()['lr']
    assert max(rates) == pytest.approx(1e-4)
    assert min(rates) == pytest.approx(1e-4 * 0.75**13)


def shipped(name: str) -> Path:
    import mmdet

    path = Path(mmdet.__file__).parent / '.mim' / 'configs' / name
    if not path.is_file():
        pytest.skip(f'this mmdet comes without its configs ({name})')
    return path


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', STRIDE_4),
        ('mask_rcnn/mask-rcnn_r50-caffe_fpn_1x_coco.py', STRIDE_4),
        ('htc/htc_r50_fpn_1x_coco.py', STRIDE_4),
        ('panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py', STRIDE_4),
        ('retinanet/retinanet_r50_fpn_1x_coco.py', STRIDE_8 | WITH_FPN),
        ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', STRIDE_8 | WITH_FPN),
        ('condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py', STRIDE_8 | WITH_FPN),
        ('boxinst/boxinst_r50_fpn_ms-90k_coco.py', STRIDE_8 | WITH_FPN),
        ('rtmdet/rtmdet_s_8xb32-300e_coco.py', STRIDE_8 | OWN_NECK),
        ('yolox/yolox_s_8xb8-300e_coco.py', STRIDE_8 | OWN_NECK),
        ('detr/detr_r50_8xb2-150e_coco.py', ONE_MAP),
        ('conditional_detr/conditional-detr_r50_8xb2-50e_coco.py', ONE_MAP),
        ('mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', NO_NECK),
    ],
)
def test_documented_snippet_on_configs_that_mmdet_ships(name, changes, tmp_path):
    import mmdet.datasets
    from mmdet.testing import demo_mm_inputs

    torch.manual_seed(0)
    init_default_scope('mmdet')
    cfg = apply_snippet(shipped(name), tmp_path, changes)
    cfg.model.data_preprocessor.batch_augments = None  # of Mask2Former: to 1024x1024
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.backbone.spec = replace(model.backbone.spec, mean=IMAGENET_MEAN, std=IMAGENET_STD)  # as a file says
    check_model_input(model, '')
    check_strides(model)
    check_channels(model, cfg.model)
    dataset = cfg.train_dataloader.dataset
    metainfo = getattr(mmdet.datasets, dataset.get('dataset', dataset).type).METAINFO
    check_num_classes(model, metainfo['classes'], metainfo.get('thing_classes'))
    MessageHub.get_current_instance().update_info('iter', 0)  # BoxInst's head asks for it
    masks = dict(with_mask=cfg.model.type != 'RTMDet', with_semantic=True)
    batch = demo_mm_inputs(1, (3, 64, 96), num_items=[2], num_classes=80, **masks)
    before = model.backbone.patch_embed.proj.weight.clone()
    losses = model.train().train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in losses.values())
    assert not torch.equal(model.backbone.patch_embed.proj.weight, before)


def test_mask2former_without_its_channels_is_told(tmp_path):
    init_default_scope('mmdet')
    cfg = apply_snippet(shipped('mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'), tmp_path, {FPN: ''})
    with pytest.raises(ValueError, match=r'set model.panoptic_head.in_channels=\[384, 384, 384, 384\]'):
        check_channels(MODELS.build(cfg.model), cfg.model)
