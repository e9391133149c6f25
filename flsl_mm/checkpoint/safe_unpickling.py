"""Stand-ins for the objects, other than tensors and plain Python, that training programs leave in checkpoints.

``torch.load(weights_only=True)`` builds nothing but tensors, numbers, text and containers, and lets the caller add
names to its list. The objects below are common (NumPy numbers, MMEngine's log histories, ``argparse.Namespace``), but
listing their real classes would let a file call their constructors and ``__setstate__`` with arguments of its choice:
NumPy's trust their input with memory offsets, and MMEngine's histories need ``getattr``, with which a file can reach
any function. So each name leads to a record that only keeps what the file says. After the file has been read,
:func:`restore` checks the records and builds the objects itself. It is our own code because torch offers no such
records: a name is allowed with all that its class does, or refused.
"""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
from torch import Tensor

from flsl_mm.models.spec import SPEC_KEY
from flsl_mm.utils.mm import HistoryBuffer

NUMBER = re.compile(r'[biufc]\d{1,2}')
"""Type codes of NumPy's booleans, integers, floats and complex numbers."""


def named(path: str) -> Callable[[Any], Any]:
    """Give a stand-in the module and the name under which files ask for the original."""

    def rename(stand_in: Any) -> Any:
        stand_in.__module__, _, stand_in.__name__ = path.rpartition('.')
        stand_in.__qualname__ = stand_in.__name__
        return stand_in

    return rename


class StandIn:
    """Record of what a file says about one object: the arguments of its constructor and its state."""

    def __new__(cls, *args: Any) -> StandIn:
        record = super().__new__(cls)
        record.args = args
        record.state = None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def resolve(self, restore_part: Callable[[Any], Any]) -> Any:
        """Build the object; ``restore_part`` restores what the record holds."""
        raise NotImplementedError


@named('numpy.dtype')
class Dtype(StandIn):
    """Type of numbers, no objects and no structures: those carry memory offsets that NumPy does not check."""

    def resolve(self, restore_part: Callable[[Any], Any]) -> np.dtype:
        """Build the type from its code and byte order."""
        code, order = self.args[0], self.state[1]
        if not NUMBER.fullmatch(code) or order not in ('<', '>', '=', '|'):
            raise UnpicklingError(f'NumPy type {code!r} is not a number')
        return np.dtype(code).newbyteorder(order)


@named('numpy.ndarray')
class Array(StandIn):
    """Array of numbers."""

    def resolve(self, restore_part: Callable[[Any], Any]) -> np.ndarray:
        """Build the array from shape, type and bytes; NumPy checks that there are enough bytes."""
        _version, shape, dtype, fortran_order, content = self.state
        if not isinstance(dtype, Dtype) or not isinstance(content, bytes):
            raise UnpicklingError('NumPy array without numbers')
        order = 'F' if fortran_order else 'C'
        return np.ndarray(shape, dtype.resolve(restore_part), content, order=order).copy(order='K')


@named('mmengine.logging.history_buffer.HistoryBuffer')
class History(StandIn):
    """MMEngine's log history. The functions that its files name beside the numbers are left out: it has its own."""

    def resolve(self, restore_part: Callable[[Any], Any]) -> HistoryBuffer:
        """Build the history from its two arrays."""
        values, counts = restore_part(self.state['_log_history']), restore_part(self.state['_count_history'])
        return HistoryBuffer(values, counts, int(self.state['max_length']))


@named('argparse.Namespace')
class Namespace(StandIn):
    """Command-line options, as the official FLSL and DINO checkpoints keep them."""

    def resolve(self, restore_part: Callable[[Any], Any]) -> argparse.Namespace:
        """Build the options from names and values."""
        return argparse.Namespace(**restore_part(self.state))


@named('builtins.getattr')
def history_method(owner: Any, name: Any) -> None:
    """Answer the look-ups ``HistoryBuffer.min`` and the like, whose results :class:`History` leaves out."""
    if owner is not History:
        raise UnpicklingError('Unsupported global: GLOBAL getattr')


@named('builtins.bytes')
def empty_bytes(*args: Any) -> bytes:
    """Make the content of an empty array, which pickles as a call of ``bytes`` without arguments."""
    if args:
        raise UnpicklingError('Unsupported global: GLOBAL bytes')
    return b''


def multiarray(module: str) -> tuple[Callable, Callable]:
    """Make the stand-ins of NumPy's two functions that start an array and build a number, as found in ``module``."""

    @named(f'{module}._reconstruct')
    def reconstruct(*_: Any) -> Array:
        return Array()

    @named(f'{module}.scalar')
    def scalar(dtype: Dtype, content: bytes) -> np.generic:
        number = Array()
        number.__setstate__((1, (), dtype, False, content))
        return number.resolve(restore)[()]

    return reconstruct, scalar


# NumPy 2 renamed `numpy.core`; files of both ages are read with both.
STAND_INS = (
    Dtype,
    Array,
    History,
    Namespace,
    history_method,
    empty_bytes,
    *multiarray('numpy.core.multiarray'),
    *multiarray('numpy._core.multiarray'),
)
"""All that a file may name besides what ``torch.load(weights_only=True)`` allows."""


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor without attributes, hooks or class of its own, in memory that it fills and shares with none."""
    tensor = tensor.detach().resolve_neg()
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if whole else tensor.contiguous().clone()


def known_metadata(metadata: Any) -> OrderedDict[str, dict[str, Any]]:
    """Keep of what torch notes beside a model's tensors the modules' versions and this package's description.

    Torch obeys the rest: ``assign_to_params_buffers`` would replace parameters that an optimizer has by others.
    """
    kept = OrderedDict()
    for module, notes in metadata.items() if isinstance(metadata, dict) else ():
        if isinstance(module, str) and isinstance(notes, dict):
            kinds = {'version': int, SPEC_KEY: dict}
            kept[module] = {name: notes[name] for name, kind in kinds.items() if type(notes.get(name)) is kind}
    return kept


def restore(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """Replace the records in nested dicts, lists and tuples by the objects that they stand for, and make tensors plain.

    Args:
        value: What was read; dicts and lists are changed in place.
        memo: Results by identity, so that parts a file refers to many times are visited once.

    Returns:
        The same without records. An ``OrderedDict`` keeps no attribute but ``_metadata``, as of
        :func:`known_metadata`.

    Raises:
        UnpicklingError: If a record holds anything but numbers.
    """
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Tensor):
        memo[id(value)] = plain(value)
    elif isinstance(value, StandIn):
        memo[id(value)] = value.resolve(lambda part: restore(part, memo))
    elif isinstance(value, dict):
        memo[id(value)] = value
        if isinstance(value, OrderedDict):
            metadata = vars(value).pop('_metadata', None)
            vars(value).clear()
            if metadata is not None:
                value._metadata = known_metadata(metadata)
        for key in list(value):
            value[key] = restore(value[key], memo)
    elif type(value) is list:
        memo[id(value)] = value
        value[:] = [restore(item, memo) for item in value]
    elif type(value) is tuple:
        memo[id(value)] = tuple(restore(item, memo) for item in value)
    else:
        return value
    return memo[id(value)]
