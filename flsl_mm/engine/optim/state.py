"""Compare an optimizer's saved state with its parameters before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor, nn

SCALARS = ('step', 'mu_product', 'eta', 'mu')
"""Entries of a parameter's state that are one number, in any of torch's optimizers."""

FACTORS = ('row_var', 'col_var')
"""Entries of Adafactor, which are smaller than their parameter."""


def check_state(saved: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> None:
    """Compare every tensor of a saved state with its parameter.

    Fused optimizers on the CPU do not: they write beyond the end of a tensor that is too small, which damages the
    process's memory.

    Args:
        saved: State dict of a torch optimizer; entry ``gradients``, where there is one, has one for each parameter.
        groups: Groups of parameters of the optimizer that is to take it over.

    Raises:
        ValueError: If it is the state of other parameters.
    """
    try:
        numbers = [list(group['params']) for group in saved['param_groups']]
        states = {number: dict(saved['state'].get(number, {})) for group in numbers for number in group}
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(f'the checkpoint has no state of an optimizer ({type(error).__name__}: {error})') from None
    parameters = [list(group['params']) for group in groups]
    if [len(group) for group in numbers] != [len(group) for group in parameters]:
        raise ValueError(
            f'the resumed optimizer had {_counted(numbers)}, this one has {_counted(parameters)}: resume with the same '
            'model and optim_wrapper, or start over from the weights with load_from'
        )
    pairs = list(zip(chain(*numbers), chain(*parameters), strict=True))
    for number, parameter in pairs:
        for name, value in states[number].items():
            if name not in FACTORS:
                _check(value, name, parameter)
    gradients = saved.get('gradients')
    if gradients is not None:
        if not isinstance(gradients, Sequence) or len(gradients) != len(pairs):
            raise ValueError(
                f'the checkpoint does not have one accumulated gradient for each of {len(pairs)} parameters'
            )
        for gradient, (_, parameter) in zip(gradients, pairs, strict=True):
            _check(gradient, 'gradient', parameter)


def _check(value: Any, name: str, parameter: nn.Parameter) -> None:
    """Compare an entry with its parameter; what is not a tensor cannot be too small."""
    if not isinstance(value, Tensor):
        return
    scalar = name in SCALARS
    fits = value.numel() == 1 if scalar else value.shape == parameter.shape
    if not fits:
        wanted = 'one number' if scalar else tuple(parameter.shape)
        raise ValueError(
            f'the resumed optimizer does not fit the model: {name} of shape {tuple(value.shape)} instead of {wanted}; '
            'resume with the same model, or start over from the weights with load_from'
        )
    # Views of fewer numbers have the right shape as well.
    if not value.is_contiguous() and value.stride() != parameter.stride():
        raise ValueError(
            f'the resumed optimizer is damaged: {name} of shape {tuple(value.shape)} is not a whole tensor'
        )


def _counted(groups: Sequence[Sequence]) -> str:
    return f'{sum(map(len, groups))} parameters in {len(groups)} groups'
