"""Scan a pickle before it is loaded: its names, its size, and where its tensors lie."""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from math import prod
from pickle import UnpicklingError
from typing import IO, Any

from .safe_unpickling import STAND_INS

MAX_OPERATIONS = 500_000
"""Steps of one pickle; some 35 for each tensor."""

MAX_DEPTH = 100
"""How deep containers may lie in one another."""

MAX_GROWTH, FREE_SIZE = 20, 10**6
"""How many times its own bytes a pickle may stand for, by referring to the same parts again, and what is free."""

MAX_SHARED = 4
"""How many times the bytes that it holds a file's tensors may have together: tied weights share theirs."""

STORAGES = dict(
    FloatStorage=4,
    HalfStorage=2,
    BFloat16Storage=2,
    DoubleStorage=8,
    LongStorage=8,
    IntStorage=4,
    ShortStorage=2,
    CharStorage=1,
    ByteStorage=1,
    BoolStorage=1,
)
"""Bytes of a number in torch's storages of plain numbers."""

DTYPES = ('float32', 'float16', 'bfloat16', 'float64', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool')

ALLOWED = {
    'collections.OrderedDict',
    'collections.Counter',
    'torch._utils._rebuild_tensor_v2',
    'torch._utils._rebuild_parameter',
    'torch.Size',
    'torch.device',
    '_codecs.encode',
    'builtins.set',
    'builtins.complex',
    *(f'torch.{name}' for name in (*STORAGES, *DTYPES)),
    *(f'{stand_in.__module__}.{stand_in.__qualname__}' for stand_in in STAND_INS),
}
"""All that a pickle may name: less than ``torch.load(weights_only=True)`` allows, and the stand-ins."""

WITH_STATE = {'collections.OrderedDict', *(f'{stand_in.__module__}.{stand_in.__qualname__}' for stand_in in STAND_INS)}
"""What may be given a state; torch would let a tensor take over another storage so."""

WITH_ATTRIBUTES = 'a tensor of a class of its own or with attributes'
UNUSABLE = {
    'torch._utils._rebuild_sparse_tensor': 'a sparse tensor',
    'torch._utils._rebuild_meta_tensor_no_storage': 'a tensor without values (on the meta device)',
    'torch._utils._rebuild_qtensor': 'a quantized tensor',
    'torch._utils._rebuild_nested_tensor': 'a nested tensor',
    'torch._utils._rebuild_parameter_with_state': WITH_ATTRIBUTES,
    'torch._utils._rebuild_wrapper_subclass': WITH_ATTRIBUTES,
    'torch._tensor._rebuild_from_type_v2': WITH_ATTRIBUTES,
    'torch._utils._rebuild_tensor_v3': 'numbers of an unusual type (float8, uint16 or the like)',
    'torch.ComplexFloatStorage': 'complex numbers',
    'torch.ComplexDoubleStorage': 'complex numbers',
}
"""What else torch would build, in words."""


class RefusedError(ValueError):
    """Content that no checkpoint of weights needs, and that could do harm."""


class Part:
    """A container, a call or a storage in a pickle, with all that it is made of."""

    __slots__ = ('kind', 'parts')

    def __init__(self, kind: str, parts: list | None = None) -> None:
        self.kind = kind
        self.parts = parts or []


class Name(str):
    """A class or function that a pickle names."""


def check_pickle(file: IO[bytes], sizes: Mapping[str, int] | None = None) -> dict[str, int]:
    """Follow a pickle, of the kind that torch reads, without building anything.

    Args:
        file: At the beginning of the pickle; afterwards at its end.
        sizes: Bytes by name of the storages in the file; None where that is not known yet.

    Returns:
        Bytes of each storage that the pickle asks for, by name.

    Raises:
        UnpicklingError: If it names anything but :data:`ALLOWED`.
        RefusedError: If tensors overlap themselves, are not within their storage, or claim other sizes than ``sizes``;
            or if pickle or tensors stand for more than the file can justify.
    """
    start = file.tell()
    reader = _Reader(sizes)
    content = reader.read(file)
    check_growth(content, file.tell() - start)
    stored = sum(reader.storages.values())
    if reader.claimed > MAX_SHARED * stored + FREE_SIZE:
        raise RefusedError(f'its tensors claim {reader.claimed} bytes, and it holds {stored}')
    return reader.storages


class _Reader:
    """The stack machine of a pickle, on descriptions instead of objects."""

    def __init__(self, sizes: Mapping[str, int] | None) -> None:
        self.sizes, self.storages, self.claimed = sizes, {}, 0
        self.stack: list[Any] = []
        self.marks: list[list] = []
        self.memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> Any:
        for number, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if number > MAX_OPERATIONS:
                raise RefusedError(f'its metadata has more than {MAX_OPERATIONS} entries')
            if operation.name in VALUES:
                self.stack.append(VALUES[operation.name](argument))
            elif operation.name in ACTIONS:
                ACTIONS[operation.name](self, argument)
            else:
                raise UnpicklingError(f'unknown operation {operation.name}')
        return self.stack.pop()

    def since_mark(self) -> list:
        parts, self.stack = self.stack, self.marks.pop()
        return parts

    def mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def tuple_of(self, number: int | None) -> None:
        parts = self.since_mark() if number is None else [self.stack.pop() for _ in range(number)][::-1]
        self.stack.append(Part('tuple', parts))

    def put_in(self, number: int | None) -> None:
        parts = self.since_mark() if number is None else [self.stack.pop() for _ in range(number)]
        self.stack[-1].parts.extend(parts)

    def set_state(self, _: None) -> None:
        state, owner = self.stack.pop(), self.stack[-1]
        if not isinstance(owner, Part) or owner.kind != 'call' or owner.parts[0] not in WITH_STATE:
            raise UnpicklingError('a state for something that has none')
        owner.parts.append(state)

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(' ')
        path = f'{"builtins" if module == "__builtin__" else module}.{name}'
        if path in UNUSABLE:
            raise RefusedError(f'it holds {UNUSABLE[path]}, and weights are plain, dense, real numbers')
        if path not in ALLOWED:
            raise UnpicklingError(f'Unsupported global: GLOBAL {path.removeprefix("builtins.")}')
        self.stack.append(Name(path))

    def call(self, _: None) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or getattr(arguments, 'kind', None) != 'tuple':
            raise UnpicklingError('a call of something that is no class or function')
        if name == '_codecs.encode' and arguments.parts[1:] != ['latin1']:
            raise UnpicklingError('bytes in an unusual encoding')
        if name == 'torch._utils._rebuild_tensor_v2':
            self.claimed += tensor_bytes(*arguments.parts[:4])
        self.stack.append(Part('call', [name, *arguments.parts]))

    def storage(self, _: None) -> None:
        _, kind, key, _, count, *view = self.stack.pop().parts
        itemsize = STORAGES[kind.rpartition('.')[2]]
        if type(count) is not int or count < 0 or not isinstance(key, str) or any(part is not None for part in view):
            raise UnpicklingError('a storage without a size')
        if self.sizes is not None and self.sizes.get(key) != count * itemsize:
            raise RefusedError(f'a tensor claims {count * itemsize} bytes, the file holds {self.sizes.get(key, 0)}')
        if self.storages.setdefault(key, count * itemsize) != count * itemsize:
            raise RefusedError(f'two tensors claim {count * itemsize} and {self.storages[key]} bytes of one storage')
        self.stack.append(Part('storage', [itemsize, count]))

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.stack.append(self.memo[index])


VALUES = {
    **dict.fromkeys(
        ('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE', 'SHORT_BINSTRING'), lambda x: x
    ),
    'NONE': lambda _: None,
    'NEWTRUE': lambda _: True,
    'NEWFALSE': lambda _: False,
    **{f'EMPTY_{kind.upper()}': lambda _, kind=kind: Part(kind) for kind in ('tuple', 'list', 'dict', 'set')},
}
"""What operations put on the stack."""

ACTIONS = {
    'PROTO': lambda reader, _: None,
    'STOP': lambda reader, _: None,
    'MARK': _Reader.mark,
    'TUPLE': _Reader.tuple_of,
    **{f'TUPLE{number}': lambda reader, _, number=number: reader.tuple_of(number) for number in (1, 2, 3)},
    'APPEND': lambda reader, _: reader.put_in(1),
    'SETITEM': lambda reader, _: reader.put_in(2),
    'BUILD': _Reader.set_state,
    **dict.fromkeys(('APPENDS', 'SETITEMS'), _Reader.put_in),
    'GLOBAL': _Reader.name,
    **dict.fromkeys(('REDUCE', 'NEWOBJ'), _Reader.call),
    'BINPERSID': _Reader.storage,
    **dict.fromkeys(('BINPUT', 'LONG_BINPUT'), _Reader.remember),
    **dict.fromkeys(('BINGET', 'LONG_BINGET'), _Reader.recall),
}
"""What operations do with the stack: those that torch's own reader knows."""


def tensor_bytes(storage: Part, offset: int, size: Part, stride: Part) -> int:
    """Return the bytes of a tensor that lies in a storage.

    Raises:
        RefusedError: If it is not within the storage, or overlaps itself.
    """
    itemsize, count = storage.parts
    numbers = [offset, *size.parts, *stride.parts]
    if any(type(number) is not int or number < 0 for number in numbers) or len(size.parts) != len(stride.parts):
        raise RefusedError('a tensor has no usable shape')
    if not prod(size.parts):
        return 0
    extent = 1
    for step, length in sorted(zip(stride.parts, size.parts, strict=True)):
        if length > 1:
            # A step of 0 repeats one value, as `expand` does.
            if 0 < step < extent:
                raise RefusedError(f'a tensor claims {prod(size.parts)} values, more than there are')
            extent += step * (length - 1)
    if offset + extent > count:
        raise RefusedError(f'a tensor claims {offset + extent} values of a storage of {count}')
    return prod(size.parts) * itemsize


def check_growth(content: Any, length: int) -> None:
    """Check depth and size of what a pickle stands for, each part counted as often as it is referred to.

    Args:
        content: As of ``_Reader.read``.
        length: Bytes of the pickle.

    Raises:
        RefusedError: If it is too deep, too large for so few bytes, or contains itself.
    """
    measured: dict[int, tuple[int, int]] = {}
    open_parts: set[int] = set()
    waiting = [content]
    while waiting:
        part = waiting[-1]
        if not isinstance(part, Part) or id(part) in measured:
            waiting.pop()
        elif id(part) not in open_parts:
            open_parts.add(id(part))
            children = [child for child in part.parts if isinstance(child, Part) and id(child) not in measured]
            if any(id(child) in open_parts for child in children):
                raise RefusedError('its metadata contains itself')
            waiting.extend(children)
        else:
            waiting.pop()
            sizes = [measured.get(id(child), (_length(child), 0)) for child in part.parts]
            size, depth = 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
            if size > MAX_GROWTH * length + FREE_SIZE:
                raise RefusedError(f'its {length} bytes of metadata stand for more than {MAX_GROWTH} times as many')
            if depth > MAX_DEPTH:
                raise RefusedError(f'its metadata is more than {MAX_DEPTH} containers deep')
            measured[id(part)] = size, depth


def _length(value: Any) -> int:
    return 1 + (len(value) if isinstance(value, (str, bytes)) and not isinstance(value, Name) else 0)
