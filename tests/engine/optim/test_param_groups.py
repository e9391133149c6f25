"""Learning rates by depth and parameters without decay, on FLSLViT inside models of several kinds."""

import pytest
import torch
from torch import nn

from flsl_mm.engine.optim import FLSLOptimWrapper, FLSLOptimWrapperConstructor
from flsl_mm.engine.optim.param_groups import parameter_groups
from flsl_mm.models import FLSLViT

ARCH = dict(embed_dim=8, depth=2, num_heads=2)


class Model(nn.Module):
    """A model as mmdet, mmseg and mmpretrain build them: backbone, neck, head."""

    def __init__(self, **backbone):
        super().__init__()
        self.backbone = FLSLViT(ARCH, img_size=32, **backbone)
        self.neck = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 3)


def by_name(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in groups for parameter in group['params']}


def test_learning_rate_falls_by_the_rate_from_block_to_block():
    model = Model(pos_embed='learned')
    groups = by_name(model, parameter_groups(model, lr=1.0, layer_decay_rate=0.5))
    rates = {
        'head.weight': 1.0,
        'neck.0.weight': 1.0,
        'backbone.norm.weight': 1.0,
        'backbone.blocks.1.attn.qkv.weight': 0.5,
        'backbone.blocks.0.mlp.fc1.bias': 0.25,
        'backbone.patch_embed.proj.weight': 0.125,
        'backbone.pos_embed': 0.125,
    }
    assert {name: groups[name]['lr'] for name in rates} == rates


@pytest.mark.parametrize('decay_bias', [False, True])
def test_norms_positions_and_optionally_biases_do_not_decay(decay_bias):
    model = Model(pos_embed='learned')
    groups = by_name(model, parameter_groups(model, lr=1.0, decay_bias=decay_bias))
    for name in ('backbone.blocks.0.norm1.weight', 'backbone.norm.bias', 'neck.1.weight', 'backbone.pos_embed'):
        assert groups[name]['weight_decay'] == 0.0
    assert 'weight_decay' not in groups['head.weight']
    assert ('weight_decay' in groups['head.bias']) is not decay_bias


def test_every_trainable_parameter_is_in_one_group_and_groups_are_few():
    model = Model(frozen_stages=1)
    groups = parameter_groups(model, lr=1.0, layer_decay_rate=0.5)
    grouped = [id(parameter) for group in groups for parameter in group['params']]
    trainable = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(trainable)
    assert len(trainable) < sum(1 for _ in model.parameters())
    assert len(groups) == 4
    assert len(parameter_groups(model, lr=1.0)) == 2


def test_without_layer_decay_two_groups_for_any_model():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    model[2].weight.requires_grad_(False)
    decayed, others = parameter_groups(model)
    assert [tuple(parameter.shape) for parameter in decayed['params']] == [(3, 2)]
    assert [tuple(parameter.shape) for parameter in others['params']] == [(3,), (3,), (3,), (1,)]
    assert (set(decayed), set(others)) == ({'params'}, {'params', 'weight_decay'})


def test_of_several_backbones_depth_is_that_of_the_trained_one():
    model = Model()
    model.teacher = FLSLViT(ARCH, img_size=32).requires_grad_(False)
    groups = by_name(model, parameter_groups(model, lr=1.0, layer_decay_rate=0.5))
    assert groups['backbone.blocks.0.attn.qkv.weight']['lr'] == 0.25
    model.teacher.requires_grad_(True)
    with pytest.raises(ValueError, match='exactly one trained FLSLViT in the model, found 2'):
        parameter_groups(model, lr=1.0, layer_decay_rate=0.5)


@pytest.mark.parametrize('rate', [0.5, 1.0])
def test_constructor_builds_a_wrapper_whose_optimizer_steps(rate):
    cfg = dict(type='FLSLOptimWrapper', optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05))
    constructor = FLSLOptimWrapperConstructor(cfg, dict(layer_decay_rate=rate))
    for _ in range(2):  # as often as one likes
        model = Model()
        wrapper = constructor(model)
        assert isinstance(wrapper, FLSLOptimWrapper)
        assert {group['weight_decay'] for group in wrapper.optimizer.param_groups} == {0.0, 0.05}
        # MMEngine logs the first group's learning rate: that of what learns fastest.
        assert wrapper.get_lr()['lr'] == sorted(wrapper.get_lr()['lr'], reverse=True)
        assert wrapper.get_lr()['lr'][0] == 0.1
        assert set(wrapper.get_lr()) == {'lr'}
        before = model.backbone.blocks[0].mlp.fc1.weight.clone()
        wrapper.update_params(sum(parameter.square().sum() for parameter in model.parameters()))
        assert not torch.equal(before, model.backbone.blocks[0].mlp.fc1.weight)
    assert cfg == dict(type='FLSLOptimWrapper', optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05))


def test_model_gets_its_optimizer():
    class Model(nn.Linear):
        def attach_optimizer(self, optimizer):
            self.optimizer = optimizer

    model = Model(2, 2)
    wrapper = FLSLOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(nn.DataParallel(model))
    assert wrapper.optimizer is model.optimizer


@pytest.mark.parametrize('library', ['mmdet', 'mmpretrain'])
def test_runner_config_reaches_the_constructor_from_other_scopes(library):
    pytest.importorskip(library)
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope

    cfg = dict(optimizer=dict(type='AdamW', lr=0.1), constructor='FLSLOptimWrapperConstructor')
    cfg['paramwise_cfg'] = dict(layer_decay_rate=0.5)
    with DefaultScope.overwrite_default_scope(library):
        assert min(build_optim_wrapper(Model(), cfg).get_lr()['lr']) == 0.1 * 0.5**3


def test_wrong_settings_are_named():
    model, cfg = Model(), dict(optimizer=dict(type='AdamW', lr=0.1))
    with pytest.raises(ValueError, match=r'\(0, 1\], got 1.5'):
        parameter_groups(model, lr=1.0, layer_decay_rate=1.5)
    with pytest.raises(ValueError, match='exactly one trained FLSLViT in the model, found 0'):
        parameter_groups(model.head, lr=1.0, layer_decay_rate=0.5)
    with pytest.raises(ValueError, match="got \\['norm_decay_mult'\\]"):
        FLSLOptimWrapperConstructor(cfg, dict(norm_decay_mult=0.0))
    with pytest.raises(ValueError, match='needs lr'):
        FLSLOptimWrapperConstructor(dict(optimizer=dict(type='AdamW')), dict(layer_decay_rate=0.5))(model)
