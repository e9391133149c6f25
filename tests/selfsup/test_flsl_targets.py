"""What the teacher asks for: modes at the queries' places, assigned to prototypes by the options of the model."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch.nn.functional import avg_pool2d

from flsl_mm.models.position_jitter import PositionJitter
from flsl_mm.selfsup import losses
from flsl_mm.selfsup.crops import group_by_kind
from flsl_mm.selfsup.mean_shift import anchored_queries, stage_attention
from flsl_mm.selfsup.queries import gather_queries, per_image
from tests.builders.toy_flsl import BACKBONE, toy_model, toy_views

ROOT = Path(__file__).parents[2]


def test_anchored_targets_come_from_where_the_queries_are():
    """Of an image whose colors are its coordinates, the anchored query has the colors of the student's patch."""
    ramp = torch.linspace(0, 255, 48).expand(48, 48)
    images = torch.stack([ramp, ramp.T, torch.zeros(48, 48)]).expand(3, -1, -1, -1)
    model = toy_model(views=dict(photometric=dict(jitter_prob=0, gray_prob=0, blur_prob=(0, 0), solarize_prob=(0, 0))))
    model.anchor_width = 0.05
    torch.manual_seed(1)
    inputs = model.data_preprocessor(dict(inputs=images), training=True)['inputs']
    assert [tuple(boxes.shape) for boxes in inputs['boxes']] == [(3, 4)] * 3

    def colors(views):
        return avg_pool2d(torch.cat(views), 8).flatten(2).mT

    teacher_view, *student_views = inputs['views']
    kinds = group_by_kind(model.data_preprocessor.crops, student_views)
    indices = [model.sample(colors(views), crops.window) for crops, views in kinds]
    pairs = zip(kinds, indices, strict=True)
    expected = torch.cat([per_image(gather_queries(colors(views), at), 3) for (_, views), at in pairs], 1)
    anchored = anchored_queries(colors([teacher_view]), model.places(inputs, indices, 3), 0.05)
    # A patch of the teacher view is 0.17 of its side; colors have a spread of about 1.3 over the image.
    assert (anchored - expected).abs().max() < 0.4
    assert (anchored - expected).abs().mean() < 0.12


def test_anchored_targets_do_not_depend_on_the_student():
    def targets(**options):
        model = toy_model(window_member='first', cross_scale=5.0, **options)
        views = toy_views(model)
        seen = []
        model.teacher.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        for sign in (1, -1):
            with torch.no_grad():
                model.backbone.norm.weight *= sign
            torch.manual_seed(0)
            model.loss(views)
        return seen

    before, after = targets(anchor_width=0.1)
    assert torch.equal(before, after)
    before, after = targets()
    assert not torch.allclose(before, after, atol=1e-3)


def test_teacher_and_student_jitter_positions_by_themselves(monkeypatch):
    """In the loss, and nowhere else: a teacher that is measured has its fixed positions."""
    drawn = []
    draw = PositionJitter.draw
    monkeypatch.setattr(PositionJitter, 'draw', lambda self, count: drawn.append(draw(self, count)) or drawn[-1])
    model = toy_model(backbone=dict(position_jitter=dict(range=24, zoom=1.5)))
    views = toy_views(model)
    model.train()
    model.loss(views)
    assert [len(windows) for windows in drawn] == [3, 3, 6]  # teacher, global and two local views of three images
    assert len(torch.cat(drawn).unique(dim=0)) == 12
    tokens = [model.teacher.backbone(views['views'][0])[-1] for _ in range(2)]
    assert torch.equal(*tokens)
    assert len(drawn) == 3


def test_sinkhorn_takes_the_place_of_softmax():
    model = toy_model(assignment='sinkhorn', volume_weight=0.0)
    logits = torch.randn(3, 6, 10)
    torch.testing.assert_close(model.assign(logits), losses.sinkhorn(logits, model.teacher_temp))
    assert torch.isfinite(model.loss(toy_views(model))['loss'])


@pytest.mark.parametrize(('arch', 'width'), [('tiny', 192), ('small', 384), ('base', 768)])
def test_head_and_scales_follow_the_architecture(arch, width):
    cfg = Config.fromfile(ROOT / 'configs/pretrain/flsl_vit-s16.py').model
    cfg.backbone.merge(dict(arch=arch, img_size=32, drop_path_rate=0.0))
    cfg.data_preprocessor.merge(dict(global_crops=dict(size=32), local_crops=dict(num=0)))
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    seen = []
    for head in (model.head, model.teacher.head):
        head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.sample = lambda tokens, window: torch.zeros(1, 1, dtype=torch.long)
    views = [torch.randn(1, 3, 32, 32) for _ in range(2)]
    model.loss(dict(views=views))
    tokens, teacher_tokens = model.backbone(views[1])[-1], model.teacher.backbone(views[0])[-1]
    query = tokens[:, :1]
    for modes, keys, scale in zip(seen, (teacher_tokens, tokens), (0.2, 0.1), strict=True):
        assert modes.shape[-1] == width
        expected = (scale / width**0.5 * query @ keys.transpose(1, 2)).softmax(-1) @ keys
        torch.testing.assert_close(modes, expected)


def test_modes_can_be_normalized_instead_of_tokens():
    torch.manual_seed(0)
    model = toy_model(normalize='modes', backbone=dict(drop_path_rate=0.0))
    views = toy_views(model)
    seen = []
    model.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.loss(views)
    torch.testing.assert_close(seen[0].mean(-1), torch.zeros(seen[0].shape[:-1]), atol=1e-5, rtol=0)
    tokens = model.backbone(views['views'][0])[-1]
    assert tokens.mean(-1).abs().max() > 1e-3, 'tokens must not be normalized'


def test_centering_subtracts_then_follows_the_teacher():
    model = toy_model(center_momentum=0.9)
    logits = torch.randn(2, 5, 10)
    features = torch.randn(2, 5, 16)
    first = model.combine(features, features, torch.randn(2, 5, 10), logits)
    torch.testing.assert_close(model.center, 0.1 * logits.mean((0, 1)))
    torch.testing.assert_close(first['teacher_entropy'], losses.entropy(losses.sharpen(logits, 0.07)).mean())
    second = model.combine(features, features, torch.randn(2, 5, 10), logits)
    centered = losses.sharpen(logits, 0.07, 0.1 * logits.mean((0, 1)))
    torch.testing.assert_close(second['teacher_entropy'], losses.entropy(centered).mean())
    assert 'center' in model.state_dict()


def test_center_ignores_logits_that_are_not_finite():
    model = toy_model(center_momentum=0.9)
    model.update_center(torch.ones(1, 2, 10))
    model.update_center(torch.full((1, 2, 10), torch.nan))
    torch.testing.assert_close(model.center, torch.full((10,), 0.1))


def test_previous_stage_attention_is_mixed_in():
    earlier = BACKBONE | dict(arch=dict(embed_dim=8, depth=1, num_heads=1), out_indices=(0,))
    model = toy_model(previous_stage=earlier, views=dict(clean_views=True), stage_mix=0.0, previous_stage_scale=0.7)
    views = toy_views(model)
    model.train()
    assert not model.previous_stage.training
    assert not any(parameter.requires_grad for parameter in model.previous_stage.parameters())
    groups = group_by_kind(model.data_preprocessor.crops, views['views'][1:])
    indices = [model.sample(model.backbone(torch.cat(group))[-1], crops.window) for crops, group in groups]
    attention = model.previous_attention(views, indices)
    keys = model.previous_stage(views['clean_views'][0])[-1]
    local = torch.cat(views['clean_views'][2:])
    expected = stage_attention(per_image(gather_queries(model.previous_stage(local)[-1], indices[1]), 3), keys, 0.7)
    torch.testing.assert_close(attention[:, -expected.shape[1] :], expected)
    with_mix, without = (model.loss(views)['teacher_entropy'] for model.stage_mix in (0.0, 1.0))
    assert with_mix != without
