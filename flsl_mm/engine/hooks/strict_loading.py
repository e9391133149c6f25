"""Stops a run whose weights would come from a checkpoint in part, and from random numbers for the rest."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from flsl_mm.checkpoint import check_strict
from flsl_mm.utils.mm import unwrap


@HOOKS.register_module()
class FLSLStrictLoadingHook(Hook):
    """Compares every checkpoint that a run resumes from or loads with the model, before its weights are used.

    MMEngine leaves what a file lacks at its random initialization, with a warning, and trains or evaluates that. The
    programs in ``tools/`` add this hook to each run. Tensors that are initialized for each training, which a model
    names in ``optional_tensors``, may be missing with ``load_from``.

    Raises:
        CheckpointError: As :func:`~flsl_mm.checkpoint.check_strict`.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare names and shapes."""
        model = unwrap(runner.model)
        optional = () if runner._resume else getattr(model, 'optional_tensors', ())
        check_strict(model, checkpoint, str(runner._load_from or 'the checkpoint'), optional)
