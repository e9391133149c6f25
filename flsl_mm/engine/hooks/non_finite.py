"""Reports left-out steps, and ends a run that makes no progress because of NaN or infinity."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from flsl_mm.utils.fileio import write_text
from flsl_mm.utils.mm import unwrap

from ..resume import newest_first, readable
from .checkpoint import checkpoint_folder

DAMAGED_WEIGHTS, DAMAGED_INPUT, DIVERGED = (
    'Weights are damaged, and no step can repair them: continue from the last good checkpoint (--resume). If it '
    'happens again at another iteration, suspect the memory of the machine.',
    'The batch itself holds values that are not finite: check batch_files and the transforms of the data set.',
    'Weights and input are finite, so the numbers overflow on the way: lower the learning rate, lengthen the warm-up '
    "or lower clip_grad.max_norm; with mixed precision, try dtype='bfloat16' or float32 (FLSLOptimWrapper).",
)


@HOOKS.register_module()
class FLSLNonFiniteHook(Hook):
    """Watches the steps that our optimizer wrappers leave out because of NaN or infinity.

    Each one is reported in a line and counted (``skipped_steps`` in the log). After ``patience`` in a row the run ends
    and each process writes ``non_finite_iter<N>_rank<R>.json``: the batch, each loss term, what is not finite, the last
    good checkpoint and advice.

    Args:
        patience: Number of steps left out in a row that end the run.

    Raises:
        ValueError: If the optimizer wrapper is not one of ours.
        FloatingPointError: To end the run.
    """

    def __init__(self, patience: int = 5) -> None:
        self.patience = patience
        self.seen = 0
        self.left_out: dict[str, list[float]] = {}
        """What each loss term was in the latest steps in a row that were left out."""

    def before_train(self, runner: Runner) -> None:
        """Take over the count of a resumed run."""
        if not hasattr(runner.optim_wrapper, 'skipped_steps'):
            raise ValueError(
                f"FLSLNonFiniteHook needs optim_wrapper.type='FLSLOptimWrapper' or 'FLSLAmpOptimWrapper', got "
                f'{type(runner.optim_wrapper).__name__}'
            )
        self.seen = runner.optim_wrapper.skipped_steps

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Report a step that was left out, and end the run after too many."""
        wrapper = runner.optim_wrapper
        if wrapper.skipped_steps:
            runner.message_hub.update_scalar('train/skipped_steps', wrapper.skipped_steps)
            drop_non_finite(runner.message_hub.log_scalars)
        if wrapper.skipped_steps == self.seen:
            self.left_out = {}
            return
        self.seen = wrapper.skipped_steps
        for name, value in (outputs or {}).items():
            self.left_out.setdefault(name, []).append(float(torch.as_tensor(value).detach()))
        runner.logger.warning(
            f'step of iteration {runner.iter + 1} left out, loss or gradient is not finite '
            f'({wrapper.skipped_in_a_row} in a row, {wrapper.skipped_steps} in all)'
        )
        if wrapper.skipped_in_a_row >= self.patience:
            good = last_good_checkpoint(checkpoint_folder(runner), len(runner.train_dataloader))
            path = self.dump(runner, data_batch or {}, outputs or {}, good)
            raise FloatingPointError(
                f'{wrapper.skipped_in_a_row} steps in a row had a loss or gradient that is not finite: stopped at '
                f'iteration {runner.iter + 1}; --resume continues from {good or "the beginning"}; what was found and '
                f'advice are in {path}'
            )

    def dump(self, runner: Runner, batch: dict, outputs: dict, good: Path | None) -> Path:
        """Write what is known about the failure, ``good`` being the last good checkpoint; returns the file."""
        model, wrapper = unwrap(runner.model), runner.optim_wrapper
        inputs = batch.get('inputs', ())
        inputs = statistics(*([inputs] if isinstance(inputs, Tensor) else inputs))
        weights = damaged_tensors(model)
        damaged = {id(parameter) for parameter in wrapper.damaged}
        history = runner.message_hub.log_scalars
        report = dict(
            iteration=runner.iter + 1,
            epoch=runner.epoch + 1,
            rank=runner.rank,
            skipped_in_a_row=wrapper.skipped_in_a_row,
            skipped_steps=wrapper.skipped_steps,
            advice=DAMAGED_WEIGHTS if weights else DAMAGED_INPUT if inputs['not_finite'] else DIVERGED,
            last_good_checkpoint=None if good is None else str(good),
            batch_files=batch_files(batch),
            inputs=inputs,
            terms={name: term_history(history, name, values) for name, values in self.left_out.items()},
            weights_not_finite=weights,
            gradients_not_finite=[name for name, tensor in model.named_parameters() if id(tensor) in damaged],
        )
        path = Path(runner.work_dir) / f'non_finite_iter{runner.iter + 1}_rank{runner.rank}.json'
        write_text(path, json.dumps(as_json(report), indent=2, allow_nan=False) + '\n')
        return path


def batch_files(batch: dict) -> list[str]:
    """List the image files of a batch: entry ``img_path``, or that of its data samples (detection)."""
    samples = batch.get('data_samples') or ()
    return list(batch.get('img_path', [getattr(sample, 'img_path', '?') for sample in samples]))


def statistics(*arrays: Tensor | np.ndarray) -> dict[str, Any]:
    """Describe numbers of any shape: how many there are and are not finite; minimum, mean and maximum of the others."""
    values = torch.cat([torch.zeros(0), *(torch.as_tensor(array).double().flatten() for array in arrays)])
    finite = values[values.isfinite()]
    found = dict(count=len(values), not_finite=len(values) - len(finite))
    if len(finite):
        found |= dict(min=finite.min().item(), mean=finite.mean().item(), max=finite.max().item())
    return found


def term_history(histories: dict[str, HistoryBuffer], name: str, latest: list[float]) -> dict[str, Any]:
    """Return a loss term's latest values, and statistics of up to 100 finite ones before them."""
    logged = histories[f'train/{name}'].data[0]
    before = logged[: len(logged) - sum(map(math.isfinite, latest))]
    return dict(latest=latest, before=statistics(before[np.isfinite(before)][-100:]))


def drop_non_finite(histories: dict[str, HistoryBuffer]) -> None:
    """Drop NaN and infinity from logged values, so that one does not spoil the means of a window."""
    for history in histories.values():
        values, counts = history.data
        finite = np.isfinite(values)
        if finite.any() and not finite.all():
            history._log_history, history._count_history = values[finite], counts[finite]


def damaged_tensors(model: nn.Module) -> dict[str, int]:
    """Count the values that are not finite in each parameter and buffer that has any."""
    counts = {name: int((~tensor.isfinite()).sum()) for name, tensor in model.state_dict().items()}
    return {name: count for name, count in counts.items() if count}


def last_good_checkpoint(folder: Path, epoch_length: int) -> Path | None:
    """Find the newest checkpoint that can be read, whose weights are then all finite."""
    return next((path for path, _ in readable(newest_first(folder, epoch_length), warn=lambda line: None)), None)


def as_json(value: Any) -> Any:
    """Replace numbers that JSON does not know, NaN and infinity, by their names."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
