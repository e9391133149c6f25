"""J, F and their statistics: the recorded numbers, sums by hand, and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flsl_mm.vos.measures import contour_accuracy, disk, frame_statistics, mask_boundary, region_similarity
from tests.builders import reference


def square(top: int, left: int, side: int, size_hw: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(size_hw, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.recorded
def test_recorded_measures_and_statistics():
    recorded = reference.load('davis_metrics')
    width = int(recorded['shape'][2])
    truth, predictions = (np.unpackbits(recorded[name], axis=-1, count=width).astype(bool) for name in ('gt', 'pred'))
    void = np.zeros(truth.shape[1:], bool)
    void[:6] = True
    pairs = list(zip(predictions, truth, strict=True))
    for name, found in (
        ('J', [region_similarity(*pair) for pair in pairs]),
        ('F', [contour_accuracy(*pair) for pair in pairs]),
        ('J_void_top6', [region_similarity(*pair, void) for pair in pairs]),
        ('J_statistics_mean_recall_decay', frame_statistics(recorded['J'][:8])),
        ('F_statistics_mean_recall_decay', frame_statistics(recorded['F'][:8])),
    ):
        np.testing.assert_allclose(found, recorded[name], atol=1e-6, rtol=0, err_msg=name)


def test_region_similarity_by_hand():
    prediction, truth, empty = square(0, 0, 10), square(0, 5, 10), np.zeros((40, 60), bool)
    assert region_similarity(prediction, truth) == pytest.approx(1 / 3)  # 50 of 150 pixels
    assert region_similarity(empty, empty) == 1
    assert region_similarity(empty, square(0, 0, 3)) == 0
    # Without columns 0 to 4 the prediction is 5x10 pixels, all of them right, and 50 of 100 true ones are found.
    void = empty.copy()
    void[:, :5] = True
    assert region_similarity(prediction, truth, void) == pytest.approx(0.5)
    assert contour_accuracy(prediction, truth, np.ones((40, 60), bool)) == 1


def test_boundary_by_hand():
    """A lone pixel is marked with its neighbors to the left, above and left above; the image border is not."""
    mask = np.zeros((4, 4), bool)
    mask[2, 2] = True
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(mask_boundary(mask), expected)
    assert not mask_boundary(np.ones((4, 4), bool)).any()
    assert [disk(radius).tolist() for radius in (0, 1)] == [[[1]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    assert disk(2).sum() == 13


def test_contours_by_hand():
    """On 40x60 pixels the tolerance is ceil(0.008 * 72.1) = 1 pixel."""
    truth = square(10, 10, 15)
    assert contour_accuracy(square(11, 10, 15), truth) == 1
    assert 0 < contour_accuracy(square(13, 10, 15), truth) < 1
    assert contour_accuracy(square(13, 10, 15), truth, bound_th=3) == 1
    # One of two equal, distant squares is found: precision 1, recall 1/2, F = 2/3.
    truth = square(2, 2, 8) | square(25, 40, 8)
    assert contour_accuracy(square(2, 2, 8), truth) == pytest.approx(2 / 3)
    assert contour_accuracy(truth, square(2, 2, 8)) == pytest.approx(2 / 3)
    empty, full = np.zeros((40, 60), bool), np.ones((40, 60), bool)  # masks without contour
    assert contour_accuracy(empty, empty) == contour_accuracy(full, empty) == 1
    assert contour_accuracy(empty, truth) == contour_accuracy(truth, empty) == 0


masks = arrays(bool, (12, 17))


@given(masks, masks)
def test_measures_are_symmetric_and_bounded(prediction, truth):
    for measure in (region_similarity, contour_accuracy):
        value = measure(prediction, truth)
        assert 0 <= value <= 1
        assert value == pytest.approx(measure(truth, prediction))
        assert measure(truth, truth) == 1


@given(masks, masks, st.integers(1, 4))
def test_contours_are_compared_by_euclidean_distance(prediction, truth, tolerance):
    """Against the distance of every pair of contour pixels; the crop to the contours must not matter."""
    points = [np.argwhere(mask_boundary(mask)) for mask in (prediction, truth)]
    if not len(points[0]) or not len(points[1]):
        return
    near = ((points[0][:, None] - points[1]) ** 2).sum(-1) <= tolerance**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert contour_accuracy(prediction, truth, bound_th=tolerance) == pytest.approx(expected)


def test_statistics_by_hand():
    """Nine frames: the quarters' borders are frames 0, 2, 4, 6, 8, and both quarters hold their borders."""
    values = np.array([1.0, 0.9, 0.8, 0.6, 0.5, 0.5, 0.4, 0.3, 0.2])
    mean, recall, decay = frame_statistics(values)
    assert mean == pytest.approx(5.2 / 9)
    assert recall == pytest.approx(4 / 9)
    assert decay == pytest.approx(0.9 - 0.3)
    assert frame_statistics(np.array([0.7])) == pytest.approx((0.7, 1.0, 0.0))
    # More frames than 8 bits count.
    assert frame_statistics(np.linspace(1, 0, 401)).decay == pytest.approx(0.75)
