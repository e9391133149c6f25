"""MMEngine's Runner with strict and safe loading of checkpoints, and a lock on the work folder."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner
from mmengine.visualization import LocalVisBackend, Visualizer
from torch import nn

from flsl_mm.checkpoint import (
    check_backbone_file,
    check_optimizer,
    check_resumable,
    check_strict,
    class_tensors,
    local_file,
    start_anew,
)
from flsl_mm.utils.console import show_printable, use_short_lines
from flsl_mm.utils.fileio import open_in_place, write_text
from flsl_mm.utils.mm import unwrap
from flsl_mm.utils.work_folder import locked_folder, refuse_links

from .backends import writing_own_files
from .hooks.checkpoint import checkpoint_folder
from .resume import Schedules
from .safe_loading import safe_mmengine_loading
from .workers import end_workers, protect_workers

MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
"""Names in ``default_hooks`` of the hooks that MMEngine adds by itself, and leaves out where they are None."""

RETIRED_HOOKS = ('FLSLBackboneExportHook', 'FLSLHistoryHook', 'FLSLReportHook', 'FLSLReseedHook')
"""Hooks that configs of earlier versions name, in work folders too; checkpoint and logger hook, log processor and
training loop do now what they did."""


@RUNNERS.register_module()
class FLSLRunner(Runner):
    """MMEngine's ``Runner`` that can be trusted with a long run; ``runner_type='FLSLRunner'`` in a config names it.

    - A checkpoint that is loaded or resumed fits the model in every tensor, and no code in it runs.
    - A resumed run follows the learning rate, weight decay and schedules of its config.
    - The config is written into the work folder when training starts; a start that fails leaves the former one.
    - Only one run at a time trains in a work folder, and in the checkpoint hook's ``out_dir``.
    - Loader workers do not die of a signal that the whole job gets, and none outlives the run.
    - Several processes work without an accelerator, through gloo.
    - Any hook in ``default_hooks`` is left out where it is None.
    - With :class:`~flsl_mm.engine.hooks.FLSLLoggerHook`, the console shows short lines from the start.

    The arguments are the same.
    """

    training_starts = False

    def __init__(self, *args, **kwargs) -> None:
        with safe_files():
            super().__init__(*args, **kwargs)

    def setup_env(self, env_cfg: dict) -> None:
        """Prepare as MMEngine does; without an accelerator, several processes are connected by gloo."""
        if self.distributed and get_device() == 'cpu':
            env_cfg = {**env_cfg, 'dist_cfg': {**(env_cfg.get('dist_cfg') or {}), 'backend': 'gloo'}}
            # MMEngine's default wrapper gets device ids, which CPU modules do not have.
            wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
            self.cfg.setdefault('model_wrapper_cfg', wrapper)
            self.cfg.pop('sync_bn', None)  # torch's runs on accelerators only
        with gpu_selection_if_available():
            super().setup_env(env_cfg)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger; environment and config are logged before there are hooks.

        Raises:
            ValueError: If a file that the run will write is a link.
        """
        refuse_links(self.work_dir, self._log_dir, self.config_name)
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):  # opened as it was, through a link if one came since
                file = open_in_place(handler.baseFilename)
                handler.setStream(io.TextIOWrapper(file, 'utf-8', 'backslashreplace')).close()
        hook = (self.cfg.get('default_hooks') or {}).get('logger') or {}
        if hook.get('type') == 'FLSLLoggerHook':
            use_short_lines(logger, hook.get('verbose', False))
        else:
            show_printable(logger)
        return logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build the visualizer; in the place of MMEngine's local backend it gets ours, which follows no links."""
        if visualizer is None:
            visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
        if isinstance(visualizer, dict):
            for backend in visualizer.get('vis_backends') or ():
                if isinstance(backend, dict) and backend.get('type') in ('LocalVisBackend', LocalVisBackend):
                    backend['type'] = 'FLSLVisBackend'
        return super().build_visualizer(visualizer)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model.

        Raises:
            ValueError: If its ``init_cfg`` names a checkpoint, of which MMEngine would load what fits.
        """
        if isinstance(model, dict) and 'Pretrained' in str(model.get('init_cfg')):
            raise ValueError(
                'model.init_cfg would load what fits and leave the rest random: give the checkpoint of a whole model '
                'as load_from, and one with a backbone as model.backbone.init_cfg'
            )
        return super().build_model(model)

    def register_default_hooks(self, hooks: dict[str, Hook | dict | None] | None = None) -> None:
        """Register the hooks of a config; any that is None is left out."""
        hooks = hooks or {}
        super().register_default_hooks(
            {name: hook for name, hook in hooks.items() if hook is not None or name in MMENGINE_HOOKS}
        )

    def register_hook(self, hook: Hook | dict, priority: Any = None) -> None:
        """Register a hook, unless it is one of :data:`RETIRED_HOOKS`."""
        if not (isinstance(hook, dict) and hook.get('type') in RETIRED_HOOKS):
            super().register_hook(hook, priority)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop; its loader's workers ignore signals."""
        return protected(loop, super().build_train_loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop; its loader's workers ignore signals."""
        return protected(loop, super().build_val_loop)

    def end_workers(self) -> None:
        """End the loader workers, which no signal does."""
        for loop in (self._train_loop, self._val_loop):
            if isinstance(loop, BaseLoop):
                end_workers(loop.dataloader)

    def train(self) -> nn.Module:
        """Train.

        Raises:
            BlockingIOError: If another run trains in the same folder.
            CheckpointError: If a checkpoint does not fit the model.
        """
        check_backbone_files(unwrap(self.model))
        with ExitStack() as stack:
            stack.enter_context(safe_files())
            if is_main_process():
                for folder in {str(checkpoint_folder(self)), self.work_dir}:
                    stack.enter_context(locked_folder(folder))
            stack.callback(self.end_workers)
            return super().train()

    def val(self) -> dict:
        """Validate."""
        with safe_files():
            return super().val()

    def test(self) -> dict:
        """Test."""
        with safe_files():
            return super().test()

    def load_or_resume(self) -> None:
        """Load or resume a file as MMEngine does, then follow the schedules of the config."""
        if self._load_from is not None:
            local_file(self._load_from)  # MMEngine would download an address past all checks
        configured = Schedules.of(self)
        super().load_or_resume()
        if configured is not None and self.iter > 0:
            configured.follow(self)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        """Call the hooks; compare a loaded checkpoint with the model, and write the config when training starts."""
        super().call_hook(fn_name, **kwargs)
        if fn_name == 'after_load_checkpoint':
            self.check_loaded(kwargs['checkpoint'])
        elif fn_name == 'before_train':
            wrapper = self.optim_wrapper
            for part in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else (wrapper,):
                check_optimizer(self.model, part.optimizer.param_groups)
            self.training_starts = True
            self.dump_config()

    def check_loaded(self, checkpoint: dict) -> None:
        """Compare a checkpoint with the model; where training starts from it, layers for other classes start anew."""
        model, source = unwrap(self.model), str(self._load_from or 'the checkpoint')
        if self._resume:
            check_resumable(checkpoint, source)
        starts = isinstance(self._train_loop, BaseLoop) and not self._resume
        others = partial(class_tensors, model, self.cfg.get('model'))
        # Tensors that begin anew with each training may be missing, but not in a run that is resumed.
        optional = () if self._resume else getattr(model, 'optional_tensors', ())
        anew = check_strict(model, checkpoint, source, optional, class_tensors=others, training_starts=starts)
        if anew:
            self.logger.warning(start_anew(model, checkpoint.get('state_dict', checkpoint), anew))

    def dump_config(self) -> None:
        """Write the config into the work folder; not yet when the Runner is built, where MMEngine calls this too."""
        if self.training_starts and is_main_process():
            write_text(Path(self.work_dir) / self.config_name, self.cfg.dump())

    @property
    def config_name(self) -> str:
        """Name of the config in the work folder, as MMEngine chooses it."""
        return Path(self.cfg.filename or f'{self.timestamp}.py').name


@contextmanager
def safe_files() -> Iterator[None]:
    """Have MMEngine read checkpoints, and write files, through ours in this context."""
    with safe_mmengine_loading(), writing_own_files():
        yield


def protected(loop: BaseLoop | dict, build: Callable[[dict], BaseLoop]) -> BaseLoop:
    """Build a loop unless it is one, and have its loader's workers ignore signals."""
    if isinstance(loop, BaseLoop):
        return loop
    loop = build(loop)
    protect_workers(loop.dataloader)
    return loop


def check_backbone_files(model: nn.Module) -> None:
    """Read the files that ``init_cfg`` of backbones name, before the data: annotations may take minutes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint with a backbone.
    """
    for module in model.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        if isinstance(init_cfg, dict) and init_cfg.get('type') == 'FLSLPretrained':
            check_backbone_file(module, init_cfg['checkpoint'], init_cfg.get('branch', 'teacher'))


@contextmanager
def gpu_selection_if_available() -> Iterator[None]:
    """Let MMEngine join several processes without a GPU, which it selects before joining, whatever the backend."""
    select = torch.cuda.set_device
    if get_device() == 'cpu':
        torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = select
