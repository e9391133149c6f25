"""The teacher: by hand, never forgotten, once per optimiser step, never in training mode."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper

from flsl_mm.selfsup.teacher import ema_update
from tests.selfsup.toy import toy_model, toy_views


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def test_ema_by_hand():
    teacher, student = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 2.0])]
    ema_update(teacher, student, 0.75)
    torch.testing.assert_close(teacher[0], torch.tensor([1.5, 2.0]))


def test_teacher_starts_as_the_student_and_is_not_trained():
    model = toy_model()
    for part in ('backbone', 'head'):
        ours, theirs = getattr(model, part).state_dict(), getattr(model.teacher, part).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_any_optimiser_step_updates_the_teacher_once():
    model = toy_model(momentum=0.9)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    before = snapshot(model.teacher.backbone)
    model.loss(toy_views(model))['loss'].backward()
    optimizer.step()
    student = model.backbone.state_dict()
    for key, value in model.teacher.backbone.state_dict().items():
        torch.testing.assert_close(value, 0.9 * before[key] + 0.1 * student[key], rtol=1e-5, atol=1e-6)


def test_an_optimiser_of_something_else_does_not_touch_the_teacher():
    model = toy_model()
    model.loss(toy_views(model))
    before = snapshot(model.teacher)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    other = torch.nn.Linear(2, 2)
    other(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert all(torch.equal(before[key], value) for key, value in model.teacher.state_dict().items())


@pytest.mark.parametrize('accumulative_counts', [1, 3])
def test_one_update_per_optimiser_step_under_accumulation(accumulative_counts):
    model = toy_model()
    updates = []
    original = model.update_teacher
    model.update_teacher = lambda: updates.append(1) or original()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=accumulative_counts)
    for _ in range(6):
        with wrapper.optim_context(model):
            loss = model.loss(toy_views(model))['loss']
        wrapper.update_params(loss)
    assert len(updates) == 6 // accumulative_counts


def test_teacher_has_no_drop_path_and_stays_in_evaluation_mode():
    model = toy_model(backbone=dict(drop_path_rate=0.5))
    model.train()
    assert model.backbone.training
    assert not any(module.training for module in model.teacher.modules())
    view = toy_views(model, batch_size=16)['views'][0]
    first, second = (model.teacher.backbone(view)[-1] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(model.backbone(view)[-1], model.backbone(view)[-1])
