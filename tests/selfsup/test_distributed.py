"""The mean over processes: its value and gradient, and the one message that it costs (with real ones: reliability)."""

import pytest
import torch

from flsl_mm.selfsup import distributed
from flsl_mm.selfsup.distributed import mean_over_processes, sum_over_processes


def test_sums_add_the_other_processes_and_leave_the_own_as_it_is(monkeypatch):
    own = torch.tensor([1.0, 2.0])
    assert torch.equal(sum_over_processes(own), own)
    monkeypatch.setattr(distributed, 'get_world_size', lambda: 2)
    monkeypatch.setattr(torch.distributed, 'all_reduce', lambda data: data.add_(torch.tensor([10.0, 20.0])))
    assert torch.equal(sum_over_processes(own), torch.tensor([11.0, 22.0]))
    assert torch.equal(own, torch.tensor([1.0, 2.0]))


def test_one_process_divides():
    mean, weight = mean_over_processes(torch.tensor([2.0, 4.0]), 4)
    torch.testing.assert_close(mean, torch.tensor([0.5, 1.0]))
    assert weight == 1


@pytest.mark.parametrize('counts', [(3, 3), (2, 5)])
def test_value_and_gradient_are_those_of_all_rows(counts, monkeypatch):
    """What DDP makes of both processes' gradients, their mean, is the gradient on the rows of both."""
    torch.manual_seed(0)
    rows = torch.randn(sum(counts), 4)
    expected = rows.clone().requires_grad_()
    expected.mean(0).exp().sum().backward()
    shares = rows.split(counts)
    messages, gradients = [], []
    monkeypatch.setattr(distributed, 'get_world_size', lambda: 2)
    for own, other in (shares, shares[::-1]):
        packed = torch.cat([other.sum(0), torch.tensor([float(len(other))])])
        monkeypatch.setattr(
            torch.distributed, 'all_reduce', lambda data, packed=packed: messages.append(data.add_(packed))
        )
        share = own.clone().requires_grad_()
        mean, weight = mean_over_processes(share.sum(0), len(share))
        torch.testing.assert_close(mean, rows.mean(0))
        torch.testing.assert_close(weight, torch.tensor(2 * len(own) / len(rows)))
        mean.exp().sum().backward()
        gradients.append(share.grad / 2)
    assert len(messages) == 2
    torch.testing.assert_close(torch.cat(gradients), expected.grad)
