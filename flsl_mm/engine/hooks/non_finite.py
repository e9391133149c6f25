"""Report steps that were skipped because of NaN or infinity, and stop a run after several in a row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

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
            self.stop(runner, data_batch or {})

    def stop(self, runner: Runner, batch: dict) -> None:
        """Write what is known about the failure, and raise FloatingPointError."""
        model, wrapper = unwrap(runner.model), runner.optim_wrapper
        checkpoints = newest_first(checkpoint_folder(runner), len(runner.train_dataloader))
        good = next((str(path) for path, _ in readable(checkpoints, warn=lambda line: None)), None)
        inputs = statistics(torch.as_tensor(image) for image in batch.get('inputs', ()))
        counts = {name: int((~tensor.isfinite()).sum()) for name, tensor in model.state_dict().items()}
        weights = {name: count for name, count in counts.items() if count}
        damaged = {id(parameter) for parameter in wrapper.damaged}
        histories = runner.message_hub.log_scalars
        report = dict(
            iteration=runner.iter + 1,
            epoch=runner.epoch + 1,
            rank=runner.rank,
            skipped_in_a_row=wrapper.skipped_in_a_row,
            skipped_steps=wrapper.skipped_steps,
            advice=DAMAGED_WEIGHTS if weights else DAMAGED_INPUT if inputs['not_finite'] else DIVERGED,
            last_good_checkpoint=good,
            batch_files=batch_files(batch),
            inputs=inputs,
            terms={name: term_history(histories[f'train/{name}'], values) for name, values in self.left_out.items()},
            weights_not_finite=weights,
            gradients_not_finite=[name for name, tensor in model.named_parameters() if id(tensor) in damaged],
        )
        path = Path(runner.work_dir) / f'non_finite_iter{runner.iter + 1}_rank{runner.rank}.json'
        write_text(path, json.dumps(report, indent=2, allow_nan=False) + '\n')
        raise FloatingPointError(
            f'{wrapper.skipped_in_a_row} steps in a row had a loss or gradient that is not finite: stopped at '
            f'iteration {runner.iter + 1}; --resume continues from {good or "the beginning"}; what was found and '
            f'advice are in {path}'
        )


def batch_files(batch: dict) -> list[str]:
    """List the image files of a batch: entry ``img_path``, or that of its data samples (detection)."""
    samples = batch.get('data_samples') or ()
    return list(batch.get('img_path', [getattr(sample, 'img_path', '?') for sample in samples]))


def statistics(tensors: Iterable[Tensor]) -> dict[str, Any]:
    """Describe numbers of any shape: how many there are and are not finite; minimum, mean and maximum of the others."""
    values = torch.cat([torch.zeros(0), *(tensor.double().flatten() for tensor in tensors)])
    finite = values[values.isfinite()]
    found = dict(count=len(values), not_finite=len(values) - len(finite))
    if len(finite):
        found |= dict(min=finite.min().item(), mean=finite.mean().item(), max=finite.max().item())
    return found


def term_history(history: HistoryBuffer, latest: list[float]) -> dict[str, Any]:
    """Return a loss term's latest values, and statistics of up to 100 finite ones before them."""
    before = history.data[0][: len(history.data[0]) - sum(map(math.isfinite, latest))]
    return dict(
        latest=[value if math.isfinite(value) else str(value) for value in latest],  # JSON knows no NaN
        before=statistics([torch.from_numpy(before[np.isfinite(before)][-100:])]),
    )


def drop_non_finite(histories: dict[str, HistoryBuffer]) -> None:
    """Drop NaN and infinity from logged values, so that one does not spoil the means of a window."""
    for history in histories.values():
        values, counts = history.data
        finite = np.isfinite(values)
        if finite.any() and not finite.all():
            history._log_history, history._count_history = values[finite], counts[finite]
