"""J&F of the DAVIS evaluation, computed in process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from .measures import Statistics, contour_accuracy, frame_statistics, region_similarity


@dataclass(frozen=True)
class ObjectScore:
    """Statistics of J and F of one object of a video."""

    video: str
    object_id: int
    region: Statistics
    contour: Statistics


COLUMNS = ('J&F-Mean', 'J-Mean', 'J-Recall', 'J-Decay', 'F-Mean', 'F-Recall', 'F-Decay')


def score_columns(scores: Sequence[ObjectScore]) -> dict[str, float]:
    """Average scores over objects, under the official column names."""
    region = Statistics(*np.mean([score.region for score in scores], axis=0).tolist())
    contour = Statistics(*np.mean([score.contour for score in scores], axis=0).tolist())
    return dict(zip(COLUMNS, ((region.mean + contour.mean) / 2, *region, *contour), strict=True))


def score_video(
    video: str,
    predictions: np.ndarray,
    masks: np.ndarray,
    mask_index: np.ndarray | None = None,
    object_ids: Sequence[int] | None = None,
) -> list[ObjectScore]:
    """Score a video as the semi-supervised evaluation does.

    The first and the last frame do not count. Objects are those that the first frame names: 1 to its largest id, with
    any that it skips; an object that comes later under a larger id is not evaluated.

    Args:
        video: Name of the video.
        predictions: Object ids (T, H, W), T at least 3.
        masks: True object ids (M, H, W).
        mask_index: Frame of each mask (M,), of which the others do not count; None where all frames have one.
        object_ids: Objects to score instead of those.

    Returns:
        The scores; none where no frame that counts has a mask.

    Raises:
        ValueError: If the shapes differ or there are fewer than 3 frames.
    """
    mask_index = np.arange(len(predictions)) if mask_index is None else mask_index
    if predictions.shape[1:] != masks.shape[1:] or len(predictions) < 3 or len(masks) != len(mask_index):
        raise ValueError(f'video {video}: predictions {predictions.shape} for masks {masks.shape}; 3 frames at least')
    counted = (mask_index > 0) & (mask_index < len(predictions) - 1)
    if not counted.any():
        return []

    def per_frame(measure: Callable[[np.ndarray, np.ndarray], float], number: int) -> Statistics:
        pairs = zip(predictions[mask_index[counted]], masks[counted], strict=True)
        return frame_statistics(np.array([measure(prediction == number, mask == number) for prediction, mask in pairs]))

    return [
        ObjectScore(video, number, per_frame(region_similarity, number), per_frame(contour_accuracy, number))
        for number in (range(1, int(masks[0].max()) + 1) if object_ids is None else map(int, object_ids))
    ]


def format_scores(rows: dict[str, dict[str, float]]) -> str:
    """Lay out a table of named rows of scores, in percent, as text."""
    width = max(map(len, rows))
    lines = [' ' * width + ''.join(f'{column:>10}' for column in COLUMNS)]
    lines += [f'{name:<{width}}' + ''.join(f'{100 * row[c]:>10.2f}' for c in COLUMNS) for name, row in rows.items()]
    return '\n'.join(lines)


@METRICS.register_module()
class DAVISMetric(BaseMetric):
    """Region similarity J and contour accuracy F of the DAVIS semi-supervised evaluation; one result a video.

    Global scores are means over all objects of all videos. After an evaluation, the main process has ``scores`` (a list
    of :class:`ObjectScore`), ``failures`` (video to error) and ``protocol``. A video with an error ends the evaluation,
    or is listed and left out if the data set's ``keep_going`` is set.

    Args:
        collect_device: As in MMEngine.
        prefix: As in MMEngine.
    """

    default_prefix = 'DAVIS'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.scores: list[ObjectScore] = []
        self.failures: dict[str, str] = {}
        self.protocol: dict = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score the videos of a batch.

        Args:
            data_batch: Batch of :class:`~flsl_mm.vos.dataset.DAVISDataset` items; ``masks`` are the truth.
            data_samples: Results of :class:`~flsl_mm.vos.propagator.FLSLLabelPropagator`.

        Raises:
            ValueError: At a video with an error, without the data set's ``keep_going``.
        """
        for position, sample in enumerate(data_samples):
            result = dict(index=sample['index'], video=sample['video'])
            if 'error' in sample:
                if not (self.dataset_meta or {}).get('keep_going'):
                    raise ValueError(f'video {sample["video"]}: {sample["error"]}')
                self.results.append(dict(result, error=sample['error']))
                continue
            truth = {
                key: data_batch[key][position] for key in ('masks', 'mask_index', 'object_ids') if key in data_batch
            }
            scores = score_video(sample['video'], sample['predictions'], **truth)
            self.results.append(dict(result, scores=scores, protocol=sample['protocol']))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average over objects and print per-video and global scores with the protocol.

        Raises:
            ValueError: If no video could be evaluated.
        """
        # Samplers of several processes repeat videos to give each process as many.
        videos = [result for _, result in sorted({result['index']: result for result in results}.items())]
        self.failures = {result['video']: result['error'] for result in videos if 'error' in result}
        propagated = [result for result in videos if 'scores' in result]
        if not propagated:
            raise ValueError('no video could be evaluated: ' + '; '.join(f'{v}: {e}' for v, e in self.failures.items()))
        scored = [result for result in propagated if result['scores']]
        self.scores = [score for result in scored for score in result['scores']]
        self.protocol = propagated[0]['protocol']
        without = [result['video'] for result in propagated if not result['scores']]
        if without:
            line = (
                f'without masks to compare with, hence without scores: {len(without)} of {len(propagated)} videos, '
                f'{", ".join(without[:5])}'
            )
            print_log(line, logger='current', level=logging.WARNING)
        if not scored:
            return dict(videos=0, failed_videos=len(self.failures))
        metrics = score_columns(self.scores)
        rows = {result['video']: score_columns(result['scores']) for result in scored}
        self._print(dict(rows, **{self._global_name(len(videos)): metrics}))
        return dict(metrics, videos=len(scored), failed_videos=len(self.failures))

    def _global_name(self, num_videos: int) -> str:
        partial = f' (PARTIAL: {num_videos - len(self.failures)} of {num_videos} videos)' if self.failures else ''
        return f'all{partial}'

    def _print(self, rows: dict[str, dict[str, float]]) -> None:
        protocol = ', '.join(f'{name} {value}' for name, value in self.protocol.items())
        print_log(f'DAVIS scores in percent, means over objects\n{format_scores(rows)}', logger='current')
        print_log(f'Protocol: {protocol}', logger='current')
        for video, error in self.failures.items():
            print_log(f'failed: {video}: {error}', logger='current', level=logging.WARNING)
