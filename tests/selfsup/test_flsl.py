"""The loss: its terms and their weights, the queries, who is trained, and options that are refused."""

import math

import pytest
import torch
from mmengine.registry import MODELS, TASK_UTILS

from flsl_mm.selfsup import FLSL, losses
from flsl_mm.selfsup.mean_shift import mean_shift
from flsl_mm.selfsup.queries import gather_queries
from tests.builders.timm_families import FAMILIES, tiny_config
from tests.builders.toy_flsl import BACKBONE, HEAD, VIEWS, toy_model, toy_views


def test_loss_sums_its_terms_and_logs_the_rest():
    model = toy_model(intra_weight=0.5, inter_weight=2.0, volume_weight=3.0)
    out = model.loss(toy_views(model))
    total, logged = model.parse_losses(out)
    torch.testing.assert_close(total, 0.5 * out['intra'] + 2 * out['inter'] + 3 * out['volume'])
    assert [key for key in out if 'loss' in key] == ['loss']
    assert 0 <= float(out['teacher_entropy']) <= math.log(10)
    assert float(out['marginal_entropy']) == pytest.approx(math.log(10) - float(out['volume']), abs=1e-5)
    assert 1 <= float(out['prototypes_used']) <= 10
    assert set(logged) >= {'intra', 'inter', 'volume', 'teacher_entropy', 'marginal_entropy', 'prototypes_used'}


def test_an_overridden_term_keeps_its_weights(monkeypatch):
    """That of the option, and that of a process which holds more than its share of the queries."""
    model = toy_model(intra_weight=0.5, inter_weight=2.0)
    model.inter_loss = lambda student_logits, targets: (student_logits.square() * targets).mean()
    model.intra_loss = lambda queries, modes: (queries - modes).abs().mean()
    model.volume_loss = lambda marginal: marginal.max()
    monkeypatch.setattr('flsl_mm.selfsup.flsl.mean_over_processes', lambda total, count: (total / count, 1.25))
    out = model.loss(toy_views(model))
    expected = 1.25 * (0.5 * out['intra'] + 2 * out['inter']) + 5 * out['volume']
    torch.testing.assert_close(out['loss'].detach(), expected)


def test_sampler_and_losses_named_in_a_config():
    shapes = []

    @TASK_UTILS.register_module(force=True)
    class FirstTokens:
        def __init__(self, count):
            self.count = count

        def __call__(self, tokens, grid_hw, window):
            shapes.append((tuple(tokens.shape), grid_hw, window))
            return torch.arange(self.count).expand(len(tokens), -1)

    @MODELS.register_module(force=True)
    class Margin(torch.nn.Module):
        def __init__(self, margin):
            super().__init__()
            self.margin = margin
            self.slope = torch.nn.Parameter(torch.ones(()))

        def forward(self, first, second):
            shapes.append((tuple(first.shape), tuple(second.shape)))
            return self.margin + 0 * self.slope

    model = toy_model(
        query_sampler=dict(type='FirstTokens', count=2),
        intra_loss=dict(type='Margin', margin=3.0),
        inter_loss=dict(type='Margin', margin=4.0),
    )
    out = model.loss(toy_views(model))
    assert (out['intra'], out['inter']) == (3.0, 4.0)
    assert shapes == [
        ((3, 25, 16), (5, 5), 2),
        ((6, 9, 16), (3, 3), 2),
        ((3, 6, 16), (3, 6, 16)),  # two queries of each of the three views
        ((3, 6, 10), (3, 6, 10)),
    ]
    assert 'inter_view_loss.slope' in dict(model.named_parameters())


@pytest.mark.parametrize('normalize', ['tokens', 'modes'])
@pytest.mark.parametrize('name', ['DINO', 'EVA-02'])  # the norm of the latter has another name
def test_backbones_of_timm(name, normalize):
    size = 14 if name == 'EVA-02' else 16
    views = dict(global_crops=dict(size=3 * size), local_crops=dict(size=2 * size))
    backbone = tiny_config(FAMILIES[name], out_type='tokens')
    model = FLSL(backbone, HEAD, VIEWS | views, normalize=normalize)
    model.init_weights()
    model.train()
    images = torch.randint(256, (3, 3, 4 * size, 4 * size), dtype=torch.uint8)
    model.loss(model.data_preprocessor(dict(inputs=images), training=True)['inputs'])['loss'].backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_loss_equals_a_view_by_view_computation():
    model = toy_model(backbone=dict(drop_path_rate=0.0))
    views = toy_views(model)
    queries_drawn = []

    def draw(tokens, window):
        indices = type(model).sample(model, tokens, window)
        queries_drawn.append(indices)
        return indices

    model.sample = draw
    out = model.loss(views)
    indices = [rows for drawn in queries_drawn for rows in drawn.split(3)]  # per view
    teacher_tokens = model.teacher.backbone(views['views'][0])[-1]
    queries, modes, targets = [], [], []
    for view, sampled in zip(views['views'][1:], indices, strict=True):
        tokens = model.backbone(view)[-1]
        query = gather_queries(tokens, sampled)
        queries.append(query.flatten(0, 1))
        modes.append(mean_shift(query, tokens, 0.1).flatten(0, 1))
        targets.append(model.teacher.head(mean_shift(query, teacher_tokens, 0.2)).flatten(0, 1))
    queries, modes, targets = (torch.cat(parts) for parts in (queries, modes, targets))
    logits = model.head(modes) / 0.1
    torch.testing.assert_close(out['intra'], losses.intra_view_loss(queries, modes).detach())
    expected = losses.inter_view_loss(logits, losses.sharpen(targets, 0.07))
    torch.testing.assert_close(out['inter'], expected.detach())
    torch.testing.assert_close(out['volume'], losses.volume_regularizer(logits.softmax(-1).mean(0)).detach())


def test_gradients_reach_the_student_only():
    model = toy_model(backbone=dict(drop_path_rate=0.0))
    model.loss(toy_views(model))['loss'].backward()
    for name, parameter in model.named_parameters():
        trained = parameter.requires_grad
        assert trained == (parameter.grad is not None), name
        assert trained != name.startswith('teacher.') or 'pos_embed' in name or 'original0' in name


@pytest.mark.parametrize(
    ('global_crops', 'local_crops', 'expected'),
    [
        (dict(window=3), dict(window=1), [(3, 1), (6, 9)]),  # 5x5 tokens by 3, 3x3 tokens by 1
        (dict(num=0, window=3), dict(window=1), [(6, 9)]),
        (dict(size=24, window=3), dict(size=24, window=1), [(3, 1), (6, 9)]),  # of one size
        (dict(size=24, window=1), dict(size=40, window=5), [(3, 9), (6, 1)]),  # local views larger
        (dict(window=1), dict(num=0, window=3), [(3, 25)]),
    ],
)
def test_windows_follow_the_kind_of_view(global_crops, local_crops, expected):
    views = dict(global_crops=dict(size=40) | global_crops, local_crops=dict(size=24) | local_crops)
    model = toy_model(views=views, window_member='first')
    drawn = []
    original = model.sample
    model.sample = lambda *args: drawn.append(original(*args)) or drawn[-1]
    model.loss(toy_views(model))
    assert [indices.shape for indices in drawn] == expected


@pytest.mark.parametrize('frozen_stages', [1, 2])
@pytest.mark.parametrize('normalize', ['tokens', 'modes'])
def test_frozen_parts_stay_frozen(frozen_stages, normalize):
    model = toy_model(backbone=dict(frozen_stages=frozen_stages), normalize=normalize)
    frozen = [model.backbone.patch_embed, model.backbone.blocks[0]]
    frozen += [model.backbone.blocks[1], model.backbone.norm] if frozen_stages == 2 else []
    # From the beginning: an optimizer is built, and the model distributed, before its training mode is set.
    assert not any(parameter.requires_grad for module in frozen for parameter in module.parameters())
    model.train()
    model.loss(toy_views(model))['loss'].backward()
    assert all(parameter.grad is None for module in frozen for parameter in module.parameters())
    trained = [model.head.mlp, *([model.backbone.norm] if frozen_stages == 1 else [])]
    assert all(parameter.grad is not None for module in trained for parameter in module.parameters())


def test_nothing_is_nan_when_logits_are_extreme():
    model = toy_model(student_temp=1e-3, teacher_temp=1e-3)
    out = model.loss(toy_views(model))
    out['loss'].backward()
    assert torch.isfinite(out['loss'])
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(views=dict(local_crops=dict(size=25))), 'crop size 25 is not a multiple of patch_size 8'),
        (dict(views=dict(local_crops=dict(size=24, window=4))), 'window 4 does not fit the 3x3 tokens of a 24 pixel'),
        (dict(head=dict(in_channels=384)), 'head.in_channels is 384, the backbone has 16 channels: leave'),
        (dict(backbone=dict(final_norm=False)), 'final_norm=True'),
        (dict(assignment='hard'), "assignment must be 'softmax' or 'sinkhorn', got 'hard'"),
        (dict(assignment='sinkhorn', center_momentum=0.9), 'leave center_momentum at None'),
        (dict(anchor_width=0.0), 'anchor_width must be more than 0, or None, got 0.0'),
        (dict(normalize='queries'), "normalize must be 'tokens' or 'modes'"),
        (dict(backbone=dict(out_type='featmap')), "out_type='tokens'"),
        (dict(previous_stage=BACKBONE), 'clean_views=True'),
    ],
)
def test_bad_options_give_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        toy_model(**options)
    assert '\n' not in str(error.value)


def test_a_backbone_without_patch_tokens_is_refused():
    backbone = dict(type='mmpretrain.ResNet', depth=18)
    with pytest.raises(ValueError, match='FLSLViT or TimmViT for example: ResNet has no embed_dim, patch_size'):
        FLSL(backbone, HEAD, VIEWS)


def test_teacher_crop_must_fit_the_patch():
    model = toy_model()
    views = toy_views(model)
    views['views'][0] = torch.randn(3, 3, 47, 47)
    with pytest.raises(ValueError, match='crop size 47'):
        model.loss(views)
