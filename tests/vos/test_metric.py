"""Scores of videos and their averages."""

import numpy as np
import pytest

from flsl_mm.vos import metric
from flsl_mm.vos.metric import COLUMNS, DAVISMetric, score_columns, score_video
from tests.builders.davis_tree import moving_squares

PROTOCOL = dict(short_side=480, topk=5)


def add_video(metric: DAVISMetric, index: int, predictions: np.ndarray, masks: np.ndarray) -> None:
    sample = dict(video=f'v{index}', index=index, predictions=predictions, protocol=PROTOCOL)
    metric.process(dict(masks=[masks]), [sample])


FAILURE = dict(video='v0', index=0, error='no first mask')


@pytest.fixture
def log(monkeypatch) -> list[str]:
    lines = []
    monkeypatch.setattr(metric, 'print_log', lambda message, **_: lines.append(message))
    return lines


def test_perfect_masks_score_one(log):
    masks = moving_squares(7, (1, 2))
    masks[3:5][masks[3:5] == 2] = 0  # vanishes and returns
    metric = DAVISMetric()
    add_video(metric, 0, masks.copy(), masks)
    result = metric.evaluate(size=1)
    ones = dict.fromkeys(('DAVIS/J&F-Mean', 'DAVIS/J-Mean', 'DAVIS/F-Mean', 'DAVIS/J-Recall', 'DAVIS/videos'), 1)
    assert result.items() >= dict(ones, **{'DAVIS/J-Decay': 0, 'DAVIS/failed_videos': 0}).items()
    table, protocol = log
    assert 'v0' in table
    assert table.count('100.00') == 2 * 5  # all but the decays, for the video and for all
    assert 'PARTIAL' not in table
    assert protocol == 'Protocol: short_side 480, topk 5'


def test_objects_are_those_that_the_first_frame_names():
    masks = moving_squares(5, (1, 3))
    masks[2:, 60:, 100:120] = 2
    masks[2:, 60:, 80:100] = 4
    scores = score_video('v', np.where(masks == 2, 0, masks), masks)
    assert [score.object_id for score in scores] == [1, 2, 3]
    # Object 2 is absent from both in frame 1 and missed in frames 2 and 3.
    assert [score.region.mean for score in scores] == pytest.approx([1, 1 / 3, 1])
    assert [score.contour.mean for score in scores] == pytest.approx([1, 1 / 3, 1])


def test_global_scores_are_means_over_objects():
    """A video with two objects found and one with one object lost: 2/3, not 1/2."""
    metric = DAVISMetric()
    two, one = moving_squares(4, (1, 2)), moving_squares(4, (1,))
    # A sampler pads the share of each process with videos from the start, which count once.
    for index, predictions, masks in ((1, np.zeros_like(one), one), (0, two, two), (0, two, two)):
        add_video(metric, index, predictions, masks)
    result = metric.evaluate(size=3)
    assert result['DAVIS/videos'] == 2
    assert result['DAVIS/J-Mean'] == pytest.approx(2 / 3)
    assert result['DAVIS/J&F-Mean'] == pytest.approx(2 / 3)
    assert [(score.video, score.object_id) for score in metric.scores] == [('v0', 1), ('v0', 2), ('v1', 1)]
    assert list(score_columns(metric.scores)) == list(COLUMNS)


def test_failures_end_the_evaluation_or_are_listed_and_make_it_partial(log):
    with pytest.raises(ValueError, match=r'^video v0: no first mask$'):
        DAVISMetric().process({}, [FAILURE])
    metric = DAVISMetric()
    metric.dataset_meta = dict(keep_going=True)
    metric.process({}, [FAILURE])
    with pytest.raises(ValueError, match='no video could be evaluated: v0: no first mask'):
        metric.evaluate(size=1)
    masks = moving_squares(4, (1,))
    add_video(metric, 1, masks, masks)
    result = metric.evaluate(size=2)
    assert (result['DAVIS/failed_videos'], result['DAVIS/J-Mean']) == (1, 1)
    assert metric.failures == {'v0': 'no first mask'}
    assert 'PARTIAL: 1 of 2 videos' in log[0]
    assert 'failed: v0: no first mask' in log


@pytest.mark.parametrize('shape', [(4, 64, 127), (3, 64, 128)])
def test_shapes_must_agree(shape):
    with pytest.raises(ValueError, match='predictions'):
        score_video('v', np.zeros(shape, np.uint8), moving_squares(4, (1,)))


def test_only_frames_with_masks_count(log):
    masks = moving_squares(7, (1,))
    predictions = masks.copy()
    predictions[[0, -1]] = 0  # the first and the last
    assert score_video('v', predictions, masks)[0].region.mean == 1
    predictions[1] = 0
    assert score_video('v', predictions, masks)[0].region.mean == pytest.approx(4 / 5)
    predictions[[3, 5]] = 0  # these are without truth
    index = np.array([0, 2, 4, 6])
    assert score_video('v', predictions, masks[index], index)[0].region.mean == 1
    predictions[4] = 0
    assert score_video('v', predictions, masks[index], index)[0].region.mean == 0.5
    metric = DAVISMetric()
    sample = dict(video='a', index=0, predictions=masks, protocol=PROTOCOL)
    metric.process(dict(masks=[masks[:1]], mask_index=[np.array([0])], object_ids=[np.array([1])]), [sample])
    assert metric.evaluate(size=1) == {'DAVIS/videos': 0, 'DAVIS/failed_videos': 0}
    assert log == ['without masks to compare with, hence without scores: 1 of 1 videos, a']
    masks = np.array([0, 38, 75], np.uint8)[moving_squares(4, (1, 2))]
    assert [score.object_id for score in score_video('v', masks, masks, object_ids=[38, 75])] == [38, 75]
