"""Hook that runs probes during training; ``custom_imports`` names this module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.utils.mm import unwrap

from ..features import FeatureExtractor
from .bbox_knn import BBoxKNNProbe
from .before_after import draw_before_after, scene_views
from .classification import ClassificationProbe
from .diversity import DiversityProbe
from .object_discovery import ObjectDiscoveryProbe
from .retrieval import ClusteringProbe, RetrievalProbe
from .scenes import ScenesProbe
from .scores import Probe
from .segmentation import SegmentationProbe

PROBES = dict(
    scenes=ScenesProbe,
    segmentation=SegmentationProbe,
    retrieval=RetrievalProbe,
    clustering=ClusteringProbe,
    classification=ClassificationProbe,
    bbox_knn=BBoxKNNProbe,
    object_discovery=ObjectDiscoveryProbe,
)
"""Probes by the name that the hook's arguments and the logged figures have."""


@HOOKS.register_module()
class FLSLProbeHook(Hook):
    """Measures the teacher's features at the start, at the end and in between: ``probe/NAME/FIGURE`` in the logs.

    Beside the probes, ``probe/diversity`` has the figures of :class:`~.diversity.DiversityProbe`, the place share among
    them, on the images of the first probe that has images.

    Measuring changes nothing of the training: modes are restored and no random numbers of the training are drawn. The
    main process measures while the others wait for it in their next step, so probes should take minutes at most.

    Args:
        interval: Epochs, or iterations, between two measurements; 0 measures at the start and at the end only.
        by_epoch: Whether ``interval`` counts epochs.
        num_images: Rows of the figure of the teacher's features before and after training, which is drawn where
            ``scenes`` is among the probes; 0 draws none.
        scale: Multiplies the cosine similarities in the mean shift that finds the clusters.
        **probes: One dict of settings for each name in :data:`PROBES` that is wanted.

    Raises:
        ValueError: If there is no probe, or one of another name.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 0, by_epoch: bool = True, num_images: int = 6, scale: float = 20.0, **probes: dict
    ) -> None:
        if not probes or set(probes) - set(PROBES):
            raise ValueError(
                f'FLSLProbeHook needs probes among {", ".join(PROBES)}, each with a dict of its settings; got '
                f'{", ".join(probes) or "none"}'
            )
        self.interval = interval
        self.by_epoch = by_epoch
        self.num_images = num_images if 'scenes' in probes else 0
        self.scale = scale
        self.settings = probes
        self.probes: dict[str, Probe] = {}
        self.latest: tuple[int, dict[str, float]] = (-1, {})
        self.errors: dict[str, float] = {}

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Build the probes and measure the untrained teacher; a resumed run keeps the first measurement."""
        self.probes = {name: PROBES[name](**settings) for name, settings in self.settings.items()}
        measured = next((probe for probe in self.probes.values() if hasattr(probe, 'images')), None)
        if measured is not None:
            self.probes['diversity'] = DiversityProbe(measured.images, name=measured.title.partition(':')[0])
        if 'probe_before' not in runner.message_hub.runtime_info:
            figures = self.measure(runner, runner.iter)
            before = dict(figures=figures, errors=self.errors, views=self.views(runner))
            runner.message_hub.update_info('probe_before', before)
            skipped = {path: reason for probe in self.probes.values() for path, reason in probe.skipped.items()}
            for path, reason in skipped.items():
                runner.logger.warning(f'not used by the probes: {path} ({reason})')

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Measure every ``interval`` iterations."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self.measure(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure every ``interval`` epochs."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self.measure(runner, runner.iter)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Measure the trained teacher, print both measurements side by side and write the figure."""
        step, after = self.latest
        if step != runner.iter:
            after = self.measure(runner, runner.iter)
        before = runner.message_hub.get_info('probe_before')
        runner.logger.info('Before -> after training:\n' + '\n'.join(self.comparison(runner, before, after)))
        if before.get('views'):
            path = Path(runner.work_dir) / 'clusters_before_after.png'
            patch_size = _source(runner).patch_size
            draw_before_after(path, self.probes['scenes'], patch_size, before['views'], self.views(runner))
            runner.message_hub.update_info('probe_figure', str(path))

    @master_only
    def measure(self, runner: Runner, step: int) -> dict[str, float]:
        """Measure the teacher and log the figures at a step; returns them by name."""
        runner.logger.info(f'measuring the teacher on {"; ".join(probe.title for probe in self.probes.values())}')
        with _evaluated(runner) as source:
            measured = {
                f'probe/{name}/{key}': score
                for name, probe in self.probes.items()
                for key, score in probe(source).items()
            }
        scores = {name: score.value for name, score in measured.items()}
        self.errors = {name: score.error for name, score in measured.items() if score.error is not None}
        for name, value in scores.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars(scores, step=step)
        self.latest = step, scores
        return scores

    def comparison(self, runner: Runner, before: dict[str, dict], after: dict[str, float]) -> list[str]:
        """Return a line for each figure: before, after, chance; with standard errors where they are known."""
        patch_size = _source(runner).patch_size
        lines = []
        for name, probe in self.probes.items():
            lines.append(f'  {probe.title}')
            chance = probe.chance(patch_size)
            for key, row in probe.rows.items():
                figure = f'probe/{name}/{key}'
                moments = (before['figures'], before.get('errors', {})), (after, self.errors)
                scores = [_shown(figures.get(figure), errors.get(figure)) for figures, errors in moments]
                of_chance = f' (chance {chance[key]:.3f})' if key in chance else ''
                lines.append(f'    {row}: {scores[0]} -> {scores[1]}{of_chance}')
        return lines

    def views(self, runner: Runner) -> list[dict[str, list]]:
        """Return what the teacher's features make of the first scenes, for the figure."""
        if not self.num_images:
            return []
        with _evaluated(runner) as source:
            return scene_views(self.probes['scenes'], source, self.num_images, self.scale)


def _shown(value: float | None, error: float | None) -> str:
    known = 'nan' if value is None else f'{value:.3f}'
    return known if error is None else f'{known} ± {error:.3f}'


@contextmanager
def _evaluated(runner: Runner) -> Iterator[FeatureExtractor]:
    """Give the teacher's backbone as a feature source in evaluation mode; the mode is restored."""
    source = _source(runner)
    training = source.backbone.training
    source.eval()
    try:
        yield source
    finally:
        source.train(training)


def _source(runner: Runner) -> FeatureExtractor:
    """Make the teacher's backbone a feature source, with the normalization of the run."""
    model = unwrap(runner.model)
    mean, std = (getattr(model.data_preprocessor, name).flatten().tolist() for name in ('mean', 'std'))
    value_range = getattr(runner.train_dataloader.dataset, 'value_range', None)
    return FeatureExtractor(model.teacher.backbone, mean, std, 'teacher', value_range)
