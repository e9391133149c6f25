"""Loss terms: by hand, as recorded (values and gradients), and where numbers get extreme."""

import math

import pytest
import torch

from flsl_mm.models import FLSLHead
from flsl_mm.selfsup import losses
from flsl_mm.selfsup.mean_shift import mean_shift
from flsl_mm.selfsup.queries import gather_queries
from tests.builders.reference import head_of, load, official_part


def test_intra_by_hand():
    queries = torch.tensor([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    modes = torch.tensor([[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])  # cosines 1, 0, -1
    assert losses.intra_view_loss(queries, modes).item() == pytest.approx((0 + 2 + 4) / 3)


def test_inter_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # student 3/4, 1/4
    teacher = torch.tensor([[0.5, 0.5]])
    expected = -0.5 * math.log(0.75) - 0.5 * math.log(0.25)
    assert losses.inter_view_loss(logits, teacher).item() == pytest.approx(expected)


def test_volume_by_hand():
    assert losses.volume_regularizer(torch.full((4,), 0.25)).item() == pytest.approx(0, abs=1e-6)
    assert losses.volume_regularizer(torch.tensor([1.0, 0, 0, 0])).item() == pytest.approx(math.log(4))
    half = torch.tensor([0.5, 0.5, 0, 0])
    assert losses.volume_regularizer(half).item() == pytest.approx(math.log(4) - math.log(2))


def test_sharpen_by_hand():
    probabilities = losses.sharpen(torch.tensor([[1.0, 0.5]]), 0.5, torch.tensor([1.0, 0.0]))
    # centered logits 0 and 0.5, over 0.5: 0 and 1
    torch.testing.assert_close(probabilities, torch.tensor([[1 / (1 + math.e), math.e / (1 + math.e)]]))


def test_sinkhorn_by_hand():
    # Rows (2, 1) / 3 and (1, 1) / 2; columns of sums 7/6 and 5/6 scaled to equal ones, then rows to 1.
    logits = torch.tensor([[2.0, 1.0], [1.0, 1.0]]).log()
    first, second = torch.tensor([4 / 7, 2 / 5]), torch.tensor([3 / 7, 3 / 5])
    expected = torch.stack([first / first.sum(), second / second.sum()])
    torch.testing.assert_close(losses.sinkhorn(logits, 1.0, iterations=1), expected)
    torch.testing.assert_close(losses.sinkhorn(logits * 0.1, 0.1, iterations=1), expected)


def test_sinkhorn_uses_all_prototypes_where_softmax_uses_one():
    torch.manual_seed(0)
    logits = 0.05 * torch.randn(4, 16, 8)
    logits[..., 0] += 1.0
    assert losses.prototypes_used(losses.sharpen(logits, 0.04)) == 1
    assigned = losses.sinkhorn(logits, 0.04, iterations=50)
    torch.testing.assert_close(assigned.sum(-1), torch.ones(4, 16))
    torch.testing.assert_close(assigned.mean((0, 1)), torch.full((8,), 1 / 8), rtol=0.02, atol=0)
    extreme = losses.sinkhorn(torch.tensor([[1e4, 0.0, -1e4]] * 2), 0.04)
    assert extreme.isfinite().all()
    assert (extreme.sum(-1) <= 1 + 1e-6).all()


def test_prototypes_used_by_hand():
    probabilities = torch.eye(5)[torch.tensor([[0, 0, 3], [3, 3, 1]])]
    assert losses.prototypes_used(probabilities).item() == 3


def test_underflowing_prototype_gives_finite_loss_and_gradient():
    logits = torch.tensor([[400.0, 0.0, -400.0]] * 3, requires_grad=True)  # probabilities 1, 0, 0 in float32
    marginal = logits.softmax(-1).mean(0)
    assert marginal[2] == 0
    total = losses.volume_regularizer(marginal) + losses.inter_view_loss(logits, logits.detach().softmax(-1))
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()


def test_half_precision_logits_are_computed_in_float32():
    logits = torch.randn(6, 50).bfloat16()
    teacher = losses.sharpen(logits, 0.04)
    assert teacher.dtype == torch.float32
    torch.testing.assert_close(teacher, (logits.float() / 0.04).softmax(-1))
    assert losses.inter_view_loss(logits, teacher).dtype == torch.float32


@pytest.fixture(scope='module')
def recorded():
    return {key: torch.from_numpy(value) for key, value in load('loss_terms').items()}


def forward(recorded: dict, tokens: torch.Tensor, head: FLSLHead) -> tuple[torch.Tensor, ...]:
    mask = recorded['query_mask']
    queries = gather_queries(tokens, mask.nonzero()[:, 1].view(len(mask), -1))
    # The recorded scales are divided by the root of the width already.
    self_scale, cross_scale = (float(recorded[name]) * tokens.shape[-1] ** 0.5 for name in ('sa_temp', 'ca_temp'))
    modes = mean_shift(queries, tokens, self_scale)
    teacher_modes = mean_shift(queries, recorded['teacher_tokens'], cross_scale)
    return queries, modes, head(modes), head_of(official_part('teacher', 'head'))(teacher_modes).detach()


def teacher_temp(epoch: int) -> float:
    """The recording's schedule: linear 0.04..0.07 over the first three epochs."""
    return (0.04, 0.055, 0.07)[min(epoch, 2)]


def terms(recorded: dict, epoch: int, parts: tuple, center: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
    queries, modes, student_logits, teacher_logits = parts
    targets = losses.sharpen(teacher_logits, teacher_temp(epoch), center)
    marginal = (student_logits / 0.1).softmax(-1).flatten(0, 1).mean(0)
    return (
        losses.intra_view_loss(queries, modes),
        losses.inter_view_loss(student_logits / 0.1, targets),
        losses.volume_regularizer(marginal),
    )


@pytest.mark.recorded
@pytest.mark.parametrize('epoch', [0, 2, 9])
def test_recorded_terms(recorded, epoch):
    parts = forward(recorded, recorded['student_tokens'], head_of(official_part('student', 'head')))
    torch.testing.assert_close(parts[2], recorded['student_logits'], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts[3], recorded['teacher_logits'], rtol=1e-5, atol=1e-6)
    intra, inter, volume = terms(recorded, epoch, parts)
    total = 0.03 * intra + inter + 5 * volume
    for name, value in dict(intra=intra, inter=inter, vmr=volume, total=total).items():
        torch.testing.assert_close(value, recorded[f'{name}_{epoch}'], rtol=1e-5, atol=0)


@pytest.mark.recorded
def test_recorded_gradients(recorded):
    tokens = recorded['student_tokens'].clone().requires_grad_()
    head = head_of(official_part('student', 'head'))
    intra, inter, volume = terms(recorded, 9, forward(recorded, tokens, head))
    (0.03 * intra + inter + 5 * volume).backward()
    expected = recorded['grad_student_tokens_epoch9']
    torch.testing.assert_close(tokens.grad, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    names = {'last_layer.parametrizations.weight.original1': 'last_layer.weight_v'}
    compared = 0
    for name, parameter in head.named_parameters():
        if parameter.requires_grad:
            expected = recorded[f'grad_head_{names.get(name, name)}']
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
            compared += 1
    assert compared == sum(key.startswith('grad_head_') for key in recorded)


@pytest.mark.recorded
def test_recorded_centering(recorded):
    parts = forward(recorded, recorded['student_tokens'], head_of(official_part('student', 'head')))
    center = torch.zeros(parts[3].shape[-1])
    for call in range(3):
        intra, inter, _ = terms(recorded, 5, parts, center)
        torch.testing.assert_close(0.3 * intra + inter, recorded[f'centered_total_{call}'], rtol=1e-5, atol=0)
        center = center.lerp(parts[3].flatten(0, 1).mean(0), 0.1)
        torch.testing.assert_close(center, recorded[f'center_{call}'].flatten(), rtol=1e-5, atol=1e-7)
