"""Label propagation: the recorded numbers, sums by hand, and a dense computation as the original does it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from flsl_mm.vos import label_propagation as lp
from tests.builders import reference


def unit_features(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def dense_propagation(queries, keys, labels, radius, topk, temperature):
    """The whole tokens x context matrix with a window mask, in double precision; keys outside the window weigh 0."""
    h, w, channels = queries.shape
    row, column = (axis.flatten() for axis in torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij'))
    affinity = torch.stack([queries.double().view(-1, channels) @ key.double().view(-1, channels).T for key in keys])
    affinity = (affinity / temperature).exp()
    if radius is not None:
        near = ((row[:, None] - row).abs() <= radius) & ((column[:, None] - column).abs() <= radius)
        affinity = affinity * near
    affinity = affinity.transpose(0, 1).flatten(1)
    lowest = affinity.topk(min(topk, affinity.shape[1]), dim=1).values[:, -1:]
    affinity[affinity < lowest] = 0
    weights = affinity / affinity.sum(1, keepdim=True)
    return (weights @ torch.stack(list(labels)).double().flatten(0, 2)).view(h, w, -1)


@pytest.mark.recorded
def test_recorded_propagation():
    recorded = reference.load('label_propagation')
    h, w = recorded['grid']
    features = F.normalize(torch.from_numpy(recorded['features']), dim=-1).unflatten(1, (h, w))
    # Radius 0 is the original's word for no window.
    settings_ = int(recorded['radius']) or None, int(recorded['topk']), float(recorded['temperature'])
    num_objects = int(recorded['num_objects']) - 1
    labels = [lp.one_hot_labels(torch.from_numpy(recorded['first_labels']), range(1, num_objects + 1))]
    for t in range(1, len(features)):
        context = [0, *range(max(1, t - int(recorded['n_last_frames'])), t)]
        labels.append(
            lp.propagate_labels(features[t], [features[i] for i in context], [labels[i] for i in context], *settings_)
        )
    found = torch.stack(labels[1:]).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, torch.from_numpy(recorded['probabilities']), atol=1e-5, rtol=0)


@settings(max_examples=25)
@given(
    grid=st.tuples(st.integers(1, 10), st.integers(1, 20)),
    num_frames=st.integers(1, 4),
    radius=st.none() | st.integers(0, 5),
    topk=st.integers(1, 12),
    temperature=st.sampled_from([0.07, 0.1, 1.0]),
    seed=st.integers(0, 1000),
)
def test_agrees_with_the_dense_computation(grid, num_frames, radius, topk, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    queries, *keys = (unit_features(generator, *grid, 6) for _ in range(num_frames + 1))
    labels = [torch.rand(*grid, 3, generator=generator).softmax(-1) for _ in keys]
    expected = dense_propagation(queries, keys, labels, radius, topk, temperature)
    found = lp.propagate_labels(queries, keys, labels, radius, topk, temperature)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


QUERY, SIMILAR, OTHER = (torch.tensor([[vector]]) for vector in ([1.0, 0.0], [0.6, 0.8], [0.0, 1.0]))


@pytest.mark.parametrize(
    ('keys', 'values', 'topk', 'temperature', 'expected'),
    [
        ([QUERY, SIMILAR], (1, 0), 2, 0.1, 1 / (1 + math.exp(-4))),  # cosines 1 and 0.6: weights exp(10) and exp(6)
        ([QUERY, SIMILAR], (1, 0), 1, 0.1, 1),
        ([QUERY, OTHER, OTHER], (1, 0, 0.5), 2, 1.0, (math.e + 0.5) / (math.e + 2)),  # both second best keys count
        ([QUERY] * 4, (0, 0, 1, 1), 1, 0.1, 0.5),  # equal keys all count, whatever their order
        ([QUERY] * 4, (1, 1, 0, 0), 1, 0.1, 0.5),
        ([QUERY], (0.4,), 5, 0.1, 0.4),  # fewer keys than topk
    ],
)
def test_keys_by_hand(keys, values, topk, temperature, expected):
    labels = [torch.tensor([[[value, 1 - value]]], dtype=torch.float32) for value in values]
    found = lp.propagate_labels(QUERY, keys, labels, radius=0, topk=topk, temperature=temperature)
    assert found.flatten().tolist() == pytest.approx([expected, 1 - expected])


def test_window_is_square_and_includes_its_border():
    """The only similar key is 2 rows and 2 columns away: found with radius 2, not with radius 1."""
    features = torch.tensor([1.0, 0.0]).expand(5, 5, 2)
    key, label = torch.tensor([0.0, 1.0]).repeat(5, 5, 1), torch.zeros(5, 5, 1)
    key[4, 4], label[4, 4] = torch.tensor([1.0, 0.0]), 1.0
    for radius, expected in ((2, 1.0), (1, 0.0)):
        found = lp.propagate_labels(features, [key], [label], radius, topk=1)
        assert found[2, 2].item() == pytest.approx(expected)


def test_tiles_do_not_change_masks(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    queries, *keys = (unit_features(generator, 10, 23, 16) for _ in range(5))
    labels = [torch.rand(10, 23, 3, generator=generator).softmax(-1) for _ in keys]
    expected = lp.propagate_labels(queries, keys, labels, radius=3)
    for tile_hw in ((1, 1), (1, 23), (3, 5), (10, 23), (64, 64)):
        monkeypatch.setattr(lp, 'TILE_HW', tile_hw)
        found = lp.propagate_labels(queries, keys, labels, radius=3)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        assert torch.equal(lp.labels_to_mask(found, (160, 368)), lp.labels_to_mask(expected, (160, 368)))


def test_memory_is_that_of_a_tile():
    """At 40x80 patches and 4 frames the dense matrix has 164 MB; no tensor made on the way has 4 MB."""
    generator = torch.Generator().manual_seed(0)
    keys = [unit_features(generator, 40, 80, 4) for _ in range(4)]
    labels = [torch.ones(40, 80, 1) for _ in keys]
    largest = 0

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.untyped_storage().nbytes())
            return out

    with Recorder():
        lp.propagate_labels(keys[0], keys, labels, radius=4)
    assert 1e5 < largest < 4e6


@pytest.mark.parametrize('size_hw', [(48, 80), (7, 11), (3, 5), (2, 2)])
def test_upsampling_is_bilinear_at_pixel_centers(size_hw):
    labels = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(labels.unsqueeze(0), size=size_hw, mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(lp.upsample_labels(labels, size_hw), expected, atol=1e-6, rtol=0)


def test_threads_do_not_change_a_bit():
    generator = torch.Generator().manual_seed(5)
    queries, *keys = (unit_features(generator, 15, 26, 48) for _ in range(5))
    labels = [torch.rand(15, 26, 2, generator=generator).softmax(-1) for _ in keys]
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            soft = lp.propagate_labels(queries, keys, labels)
            results.append((soft, lp.upsample_labels(soft.permute(2, 0, 1), (240, 416))))
    finally:
        torch.set_num_threads(threads)
    for soft, enlarged in results[1:]:
        assert torch.equal(soft, results[0][0])
        assert torch.equal(enlarged, results[0][1])


def test_masks_and_labels_by_hand():
    labels = torch.tensor([[[0.5, 0.5]], [[0.1, 0.3]], [[0.0, 0.0]]])  # each object is stretched, constant maps are not
    torch.testing.assert_close(lp.stretch_labels(labels), torch.tensor([[[0.5, 0.5]], [[0.0, 1.0]], [[0.0, 0.0]]]))
    labels = torch.tensor([[[0.9, 0.1, 0.0], [0.1, 0.1, 0.8]]])
    # Stretched: background 1, 0; object 1 constant 0.1; object 2 0, 1. The lowest of equal channels wins.
    assert lp.labels_to_mask(labels, (1, 2)).tolist() == [[0, 2]]
    assert lp.labels_to_mask(torch.full((1, 2, 3), 0.3), (1, 2)).tolist() == [[0, 0]]
    # An object that never exceeds 0.3 wins where it is strongest and the background weakest.
    assert lp.labels_to_mask(torch.tensor([[[1.0, 0.0], [0.7, 0.3]]]), (1, 2)).tolist() == [[0, 1]]
    # Ids that are not listed are background.
    mask = torch.tensor([[0, 3], [5, 9]])
    assert lp.one_hot_labels(mask, [3, 5]).tolist() == [[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 0, 0]]]
    assert lp.one_hot_labels(mask, []).tolist() == [[[1.0], [1.0]], [[1.0], [1.0]]]
