"""The teacher: by hand, once per step of its student's optimizer, never forgotten, never in training mode."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from flsl_mm.selfsup import FLSL
from flsl_mm.selfsup.teacher import OptimizerStepCallback, ema_update
from tests.builders.checkpoints import equal_states, same
from tests.builders.toy_flsl import toy_model, toy_views
from tests.builders.toy_run import toy_runner


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def count_updates(model: FLSL) -> list[int]:
    updates, original = [], model.teacher.update
    model.teacher.update = lambda *args, **kwargs: updates.append(1) or original(*args, **kwargs)
    return updates


def test_ema_by_hand():
    teacher, student = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 2.0])]
    ema_update(teacher, student, 0.75)
    torch.testing.assert_close(teacher[0], torch.tensor([1.5, 2.0]))


def test_teacher_starts_as_the_student_and_is_not_trained():
    model = toy_model()
    for part in ('backbone', 'head'):
        assert equal_states(getattr(model, part), getattr(model.teacher, part))
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_teacher_has_no_drop_path_and_stays_in_evaluation_mode():
    model = toy_model(backbone=dict(drop_path_rate=0.5))
    model.train()
    assert model.backbone.training
    assert not any(module.training for module in model.teacher.modules())
    view = toy_views(model, batch_size=16)['views'][0]
    first, second = (model.teacher.backbone(view)[-1] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(model.backbone(view)[-1], model.backbone(view)[-1])


def test_a_step_updates_the_teacher_once_and_after_it():
    model = toy_model(momentum=0.9)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # as often as once
        model.attach_optimizer(optimizer)
    before = snapshot(model.teacher.backbone)
    model.loss(toy_views(model))['loss'].backward()
    optimizer.step()
    student = model.backbone.state_dict()
    for key, value in model.teacher.backbone.state_dict().items():
        torch.testing.assert_close(value, 0.9 * before[key] + 0.1 * student[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('accumulative_counts', [1, 3])
def test_one_update_per_optimizer_step_under_accumulation(accumulative_counts):
    model = toy_model()
    updates = count_updates(model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=accumulative_counts)
    model.attach_optimizer(wrapper.optimizer)
    for _ in range(6):
        with wrapper.optim_context(model):
            loss = model.loss(toy_views(model))['loss']
        wrapper.update_params(loss)
    assert len(updates) == 6 // accumulative_counts


def test_of_several_optimizers_only_the_attached_one_counts():
    model = toy_model()
    backbone, head = (torch.optim.SGD(part.parameters(), lr=0.1) for part in (model.backbone, model.head))
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    updates = count_updates(model)
    model.attach_optimizer(head)
    model.attach_optimizer(backbone)
    for _ in range(4):
        model.loss(toy_views(model))['loss'].backward()
        for optimizer in (backbone, head, other):
            optimizer.step()
            optimizer.zero_grad()
    assert len(updates) == 4


@pytest.mark.parametrize('fused', [False, True])
def test_step_that_a_gradient_scaler_leaves_out(fused):
    """A fused optimizer is called for it all the same, with the news that it has to do nothing."""
    model = toy_model()
    scaler = torch.amp.GradScaler('cpu', init_scale=4.0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, fused=fused)
    model.attach_optimizer(optimizer)
    updates, views = count_updates(model), toy_views(model)
    for factor in (torch.inf, torch.inf, torch.inf, 1.0):
        before = model.head.mlp[0].weight.clone()
        scaler.scale(model.loss(views)['loss'] * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert torch.equal(before, model.head.mlp[0].weight) == (factor == torch.inf)
        assert len(updates) == (factor == 1)


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('accumulative_counts', [1, 2])
def test_runner_without_an_attached_optimizer_stops_at_once(accumulative_counts, fused, tmp_path):
    optimizer = dict(type='AdamW', fused=fused)
    wrapper = dict(type='OptimWrapper', optimizer=optimizer, accumulative_counts=accumulative_counts)
    runner = toy_runner(tmp_path, [], optim_wrapper=wrapper)
    with pytest.raises(RuntimeError, match=r"set optim_wrapper\.constructor='FLSLOptimWrapperConstructor'"):
        runner.train()
    assert runner.iter == 2 * accumulative_counts


def test_training_with_another_optimizer_than_the_attached_one_stops():
    model = toy_model()
    model.attach_optimizer(torch.optim.SGD(model.parameters(), lr=0.1))
    other, views = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)), toy_views(model)
    for _ in range(2):
        other.update_params(model.loss(views)['loss'])
    with pytest.raises(RuntimeError, match='teacher is not updated'):
        model.loss(views)


def test_losses_may_be_computed_without_training():
    model = toy_model()
    views, weights = toy_views(model), model.state_dict()
    losses = [model.loss(views)['loss']]
    model.load_state_dict({key: value + 0.01 for key, value in weights.items()})
    losses.append(model.loss(views)['loss'])
    for shift in range(3):
        model.load_state_dict({key: value + shift for key, value in weights.items()})
        with torch.no_grad():
            losses.append(model.loss(views)['loss'])
    assert torch.stack(losses).isfinite().all()


def test_a_copy_has_no_optimizer_attached():
    model = toy_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model.attach_optimizer(optimizer)
    twin = copy.deepcopy(model)
    own = torch.optim.SGD(twin.parameters(), lr=0.5)
    for trained, stays, stepper in ((model, twin, optimizer), (twin, model, own)):
        trained.attach_optimizer(stepper)
        before = snapshot(trained.teacher), snapshot(stays.teacher)
        trained.loss(toy_views(trained))['loss'].backward()
        stepper.step()
        assert not same(before[0], trained.teacher.state_dict())
        assert same(before[1], stays.teacher.state_dict())


def test_a_copy_of_a_trained_model_is_watched_like_a_new_one():
    model = toy_model()
    wrapper, views = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)), toy_views(model)
    model.attach_optimizer(wrapper.optimizer)
    wrapper.update_params(model.loss(views)['loss'])
    twin = copy.deepcopy(model)
    wrapper = OptimWrapper(torch.optim.SGD(twin.parameters(), lr=0.1))
    for _ in range(2):
        wrapper.update_params(twin.loss(views)['loss'])
    with pytest.raises(RuntimeError, match='teacher is not updated'):
        twin.loss(views)


def test_optimizers_that_cannot_be_attached():
    class Bare:
        param_groups = ()

    model = toy_model()
    with pytest.raises(ValueError, match='cannot be updated by Bare, which has no register_step_post_hook: use'):
        model.attach_optimizer(Bare())
    for stranger in (nn.Linear(2, 2), model.teacher, toy_model()):
        with pytest.raises(ValueError, match='cannot be updated by SGD, which trains no parameter of the student'):
            model.attach_optimizer(torch.optim.SGD(stranger.parameters(), lr=0.1))
    frozen = OptimizerStepCallback(lambda: None)
    with pytest.raises(ValueError, match='no parameter of the student'):
        frozen.attach(torch.optim.SGD(model.parameters(), lr=0.1), [])
