"""A training step waits for the device at one place alone, where it asks whether all gradients are finite."""

import traceback
import warnings
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import flsl_mm
from flsl_mm.selfsup import flsl
from tests.builders.toy_flsl import toy_model

from .devices import CONTENT, JITTERED, make_wrapper, needs_gpu, take_step

pytestmark = pytest.mark.gpu

ROOT = Path(flsl_mm.__file__).parent
GUARD = 'engine/optim/wrapper.py:_clip_grad'
FIRST = 'selfsup/teacher.py:check'
"""Before the first step of the attached optimizer: is it the one that trains the student?"""

BATCH = 'selfsup/views.py:forward'
"""The loader has pinned it."""
PINNED = 'models/device.py:to_device'

MODELS = {
    'paper': {},
    'centered': dict(center_momentum=0.9),
    'jittered, anchored, sinkhorn': JITTERED,
    'modes': dict(normalize='modes'),
}


class Waits(TorchDispatchMode):
    """Notes where a program asks the meta device for numbers, and answers with ones.

    Tensors of the meta device have no numbers: ``item``, ``tolist``, ``bool``, ``float``, ``cpu`` and ``numpy`` all end
    in one of two operations, and what else depends on numbers (``nonzero``, boolean indices) fails there by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []
        self.copies: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        on_device = [value for value in args if isinstance(value, torch.Tensor) and value.is_meta]
        if function is torch.ops.aten._local_scalar_dense.default and on_device:
            self.places.append(self.place())
            return 1.0
        to_host = str(kwargs.get('device')) == 'cpu'
        if function is torch.ops.aten._to_copy.default and on_device and to_host:
            self.places.append(self.place())
            return torch.ones(args[0].shape, dtype=kwargs.get('dtype') or args[0].dtype)
        self.note_copies(function, args, kwargs)
        return function(*args, **kwargs)

    def note_copies(self, function, args, kwargs) -> None:
        """Note where memory of the host goes to the device: from any but pinned memory that is a wait too."""
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        moved = function is torch.ops.aten._to_copy.default and str(kwargs.get('device')) == 'meta'
        written = function is torch.ops.aten.copy_.default and tensors[0].is_meta
        if (moved or written) and not tensors[-1].is_meta:
            self.copies.add(self.place())

    def place(self) -> str:
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(ROOT)]
        return f'{Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].name}' if frames else 'elsewhere'


@pytest.fixture
def without_autocast(monkeypatch):
    """It knows no meta device; and ``new_tensor``, which copies from the host, shows as no copy there."""
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kwargs: nullcontext())
    new_tensor = torch.Tensor.new_tensor

    def refused(tensor, *args, **kwargs):
        assert not tensor.is_meta, 'new_tensor copies from the host and waits: use new_full'
        return new_tensor(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, 'new_tensor', refused)


def steps(model, count=3) -> list[Waits]:
    """Train a model on the meta device, and return what each step waited for."""
    model = model.to('meta').train()
    wrapper = make_wrapper(model)
    model.attach_optimizer(wrapper.optimizer)
    images = torch.randint(256, (4, 3, 48, 48), dtype=torch.uint8)
    found = []
    for _ in range(count):
        with Waits() as waits:
            model.train_step(dict(inputs=images), wrapper)
        found.append(waits)
    return found


@pytest.mark.parametrize('name', MODELS)
def test_a_step_waits_once(name, without_autocast):
    found = steps(toy_model(**MODELS[name]))
    assert [waits.places for waits in found] == [[FIRST, GUARD], [GUARD], [GUARD]]
    assert set().union(*(waits.copies for waits in found)) == {BATCH, PINNED}


def test_a_step_with_a_teacher_crop_waits_once_more(without_autocast, monkeypatch):
    """Which is for the number of queries in the teacher view: numbers that the meta device cannot give."""
    asked = []

    def select(chosen, *of_queries):
        asked.append(chosen.shape)
        return of_queries

    monkeypatch.setattr(flsl, 'select', select)
    found = steps(toy_model(**CONTENT))
    assert [waits.places for waits in found] == [[FIRST, GUARD], [GUARD], [GUARD]]
    assert len(asked) == 3


@pytest.mark.parametrize('ask', [torch.Tensor.item, float, bool, torch.Tensor.tolist, torch.Tensor.cpu])
def test_a_wait_is_seen(ask, without_autocast, monkeypatch):
    model = toy_model()
    original = model.intra_loss

    def intra_loss(queries, modes):
        loss = original(queries, modes)
        ask(loss.detach())
        return loss

    monkeypatch.setattr(model, 'intra_loss', intra_loss)
    assert [len(waits.places) for waits in steps(model, 1)] == [3]


@needs_gpu
@pytest.mark.parametrize(('options', 'count'), [*((model, 1) for model in MODELS.values()), (CONTENT, 2)])
def test_torch_counts_as_many(options, count, record_property):
    model = toy_model(**options).cuda().train()
    wrapper = make_wrapper(model, 'bfloat16')
    model.attach_optimizer(wrapper.optimizer)
    for seed in range(2):
        take_step(model, wrapper, seed)
    images = torch.randint(256, (4, 3, 48, 48), dtype=torch.uint8).pin_memory()
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            model.train_step(dict(inputs=images), wrapper)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    waits = [str(warning.message) for warning in caught if 'synchroniz' in str(warning.message)]
    record_property('waits', len(waits))
    assert len(waits) == count, waits
