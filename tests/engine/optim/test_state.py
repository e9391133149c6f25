"""A saved optimizer state is used only where every tensor is its parameter's."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flsl_mm.engine.optim import FLSLOptimWrapper
from flsl_mm.engine.optim.state import check_state
from tests.builders.nonsense import nonsense


def wrapper(rows: int = 3, optimizer: str = 'AdamW', **options) -> FLSLOptimWrapper:
    """Make a wrapper that has done one step on a weight (rows, 2) and a bias (2,)."""
    parameters = [nn.Parameter(torch.ones(rows, 2)), nn.Parameter(torch.ones(2))]
    made = FLSLOptimWrapper(getattr(torch.optim, optimizer)(parameters, lr=0.1, **options))
    made.update_params(sum(parameter.square().sum() for parameter in parameters))
    return made


@pytest.mark.parametrize(
    ('optimizer', 'options'),
    [
        ('AdamW', dict(fused=True)),
        ('AdamW', dict(amsgrad=True)),
        ('SGD', dict(momentum=0.9)),
        ('NAdam', {}),
        ('ASGD', {}),
        ('RMSprop', {}),
        ('Adafactor', {}),
    ],
)
def test_an_optimizers_own_state_is_taken(optimizer, options):
    saved = wrapper(optimizer=optimizer, **options)
    for parameter in saved.param_groups[0]['params']:
        parameter.grad = torch.full_like(parameter, 0.5)
    saved.step()
    other = wrapper(optimizer=optimizer, **options)
    other.load_state_dict(saved.state_dict())
    given, taken = (made.optimizer.state_dict()['state'] for made in (saved, other))
    for index, entries in given.items():
        torch.testing.assert_close(taken[index], entries, rtol=0, atol=0)


@pytest.mark.parametrize('rows', [1, 4])
def test_another_number_of_prototypes(rows):
    """The fused step would read and write beyond the end of the smaller one."""
    taken = wrapper(fused=True)
    before = copy.deepcopy(taken.state_dict())
    line = rf'does not fit the model: exp_avg of shape \({rows}, 2\) instead of \(3, 2\); resume with the same model'
    with pytest.raises(ValueError, match=line):
        taken.load_state_dict(wrapper(rows).state_dict())
    after = taken.state_dict()
    assert torch.equal(after['state'][0]['exp_avg'], before['state'][0]['exp_avg'])


def test_another_number_of_parameters():
    single = FLSLOptimWrapper(torch.optim.AdamW([nn.Parameter(torch.ones(2))]))
    with pytest.raises(ValueError, match='had 2 parameters in 1 groups, this one has 1 parameters in 1 groups'):
        single.load_state_dict(wrapper().state_dict())


@pytest.mark.parametrize(
    ('entry', 'value', 'line'),
    [
        ('exp_avg', torch.tensor(1.0), r'exp_avg of shape \(\) instead of \(3, 2\)'),
        ('exp_avg_sq', torch.ones(1).expand(3, 2), 'exp_avg_sq .* is not a whole tensor'),
        ('step', torch.ones(2), r'step of shape \(2,\) instead of one number'),
    ],
)
def test_tensors_of_a_file_that_means_harm(entry, value, line):
    state = wrapper().state_dict()
    state['state'][0][entry] = value
    with pytest.raises(ValueError, match=line):
        wrapper(fused=True).load_state_dict(state)


@pytest.mark.parametrize(
    ('gradients', 'line'),
    [([None], 'one accumulated gradient'), (7, 'one accumulated'), ([torch.ones(4), None], 'gradient of shape')],
)
def test_accumulated_gradients(gradients, line):
    with pytest.raises(ValueError, match=line):
        wrapper().load_state_dict(dict(wrapper().state_dict(), gradients=gradients))


NONSENSE = nonsense(torch.ones(2))


@given(state=NONSENSE | st.dictionaries(st.integers(0, 2), NONSENSE), groups=NONSENSE, inside=st.booleans())
@settings(max_examples=60, deadline=None)
def test_nonsense_raises_one_line(state, groups, inside):
    parameters = [dict(params=[nn.Parameter(torch.ones(3, 2))])]
    saved = dict(state=state, param_groups=[dict(params=groups)] if inside else groups)
    try:
        check_state(saved, parameters)
    except ValueError as error:
        line = str(error)
        assert line, line
        assert '\n' not in line
