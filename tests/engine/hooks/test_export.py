"""The teacher's backbone lies beside every checkpoint that is kept, and loads."""

from __future__ import annotations

import pytest
import torch

from flsl_mm.models import FLSLViT
from tests.selfsup.toy import BACKBONE, toy_model
from tests.toy_run import toy_runner


def test_backbone_file_beside_every_kept_checkpoint(tmp_path):
    model = toy_model()
    checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=2)
    hooks = [dict(type='FLSLBackboneExportHook')]
    toy_runner(tmp_path, hooks, model, epochs=3, default_hooks=dict(checkpoint=checkpoint)).train()
    names = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert names == ['epoch_2.pth', 'epoch_2_backbone.pth', 'epoch_3.pth', 'epoch_3_backbone.pth']
    content = torch.load(tmp_path / 'epoch_3_backbone.pth', weights_only=True)
    expected = model.teacher.backbone.state_dict()
    assert content['state_dict'].keys() == expected.keys()
    assert all(torch.equal(content['state_dict'][key], expected[key]) for key in expected)
    meta = content['meta']
    assert meta['arch'] == model.backbone.spec.arch
    assert (meta['patch_size'], meta['pos_resize'], meta['pos_embed']) == (8, 'offset', 'sincos')
    assert meta['mean'] == pytest.approx([0.485, 0.456, 0.406])
    options = {key: value for key, value in BACKBONE.items() if key != 'type'}
    loaded = FLSLViT(**options, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_3_backbone.pth')))
    loaded.init_weights()
    image = torch.randn(1, 3, 40, 40)
    assert torch.equal(loaded.eval()(image)[-1], model.teacher.backbone(image)[-1])
