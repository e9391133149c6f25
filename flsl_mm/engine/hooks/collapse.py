"""Measure a pretraining run at intervals, warn while its features collapse, and give a verdict at the end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.evaluation.diversity import between_image_share, effective_rank, place_share, within_image_cosine
from flsl_mm.utils.fileio import write_json
from flsl_mm.utils.mm import unwrap
from flsl_mm.utils.work_folder import VERDICT

from .. import health
from .schedule import teacher_initial_share


@HOOKS.register_module()
class FLSLCollapseHook(Hook):
    """Measures a run at equal distances; one line warns of a symptom and names the setting to change.

    A measurement takes the losses of a step, and the teacher's tokens of that step's images. The verdict at the end,
    ``healthy``, ``collapsed: ...``, ``learned place: ...`` or ``too short to tell: ...``, is logged and, with all
    measurements, written to ``verdict.json`` in the work folder. See :mod:`flsl_mm.engine.health`.

    Args:
        num_measurements: Number of measurements over the run.
        num_images: Most images of a batch that are measured.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, num_measurements: int = 20, num_images: int = 32) -> None:
        self.num_measurements = num_measurements
        self.num_images = num_images
        self.measurements: list[health.Measurement] = []
        self.warned: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Continue the measurements of a resumed run."""
        info = runner.message_hub.runtime_info
        saved = info.get('health_measurements', info.get('health_looks', []))  # the name in earlier versions
        self.measurements = [health.Measurement(**measurement) for measurement in saved]
        self.warned = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Measure the first step and then at equal distances."""
        step = runner.iter + 1
        if self.measurements and step % max(runner.max_iters // self.num_measurements, 1) and step != runner.max_iters:
            return
        self.measurements.append(self.measure(runner, step, data_batch, outputs))
        runner.message_hub.update_info('health_measurements', [asdict(one) for one in self.measurements])
        runner.message_hub.update_info('verdict', self.verdict(runner))
        model = unwrap(runner.model)
        for name in health.persistent_symptoms(
            self.measurements, model.head.num_prototypes, self.batch_size(data_batch)
        ):
            if name not in self.warned:
                self.warned.add(name)
                runner.logger.warning(f'step {step}: {name}: {health.ADVICE[name]}')

    def batch_size(self, data_batch: dict) -> int:
        """Return the number of images that are measured."""
        return min(len(data_batch['inputs']), self.num_images)

    @torch.no_grad()
    def measure(self, runner: Runner, step: int, data_batch: dict, outputs: dict) -> health.Measurement:
        """Measure the losses of a step and the teacher's tokens of its images."""
        model = unwrap(runner.model)
        data = dict(inputs=data_batch['inputs'][: self.num_images])
        tokens = model.teacher.backbone(model.data_preprocessor(data)['inputs'])[-1].float()
        finite = bool(tokens.isfinite().all())
        losses = {name: float(outputs[name]) for name in ('inter', 'teacher_entropy', 'marginal_entropy')}
        return health.Measurement(
            step=step,
            **losses,
            prototypes_used=float(outputs['prototypes_used']),
            rank=effective_rank(tokens.flatten(0, 1)) if finite else float('nan'),
            within_cosine=within_image_cosine(tokens),
            between_share=between_image_share(tokens),
            place_share=place_share(tokens),
        )

    def verdict(self, runner: Runner) -> str:
        """Judge the run by the measurements so far."""
        batch_size = min(runner.train_dataloader.batch_size, self.num_images)
        prototypes = unwrap(runner.model).head.num_prototypes
        return health.verdict(self.measurements, prototypes, batch_size, teacher_initial_share(runner))

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Log and write the verdict."""
        if not self.measurements:
            return
        verdict = self.verdict(runner)
        measurements = [asdict(measurement) for measurement in self.measurements]
        write_json(Path(runner.work_dir) / VERDICT, dict(verdict=verdict, measurements=measurements))
        log = runner.logger.info if verdict == 'healthy' else runner.logger.warning
        log(f'Verdict: {verdict}\n  {health.summary(self.measurements)}')
