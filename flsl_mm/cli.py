"""What the command-line programs in tools/ share: options, config reading, and errors in one line.

Torch and MMEngine are imported where they are used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import gc
import os
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import register

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

LOST_CONNECTION = re.compile(r'closed by peer|[Cc]onnection reset|ncclRemoteError|Broken pipe')
"""What gloo and NCCL say when another process of the job is gone."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system says of a full disk, a used-up quota, and a file beyond the limit."""


MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
"""Names in ``default_hooks`` of the hooks that MMEngine adds by itself, and leaves out where they are None."""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every program which builds a Runner has."""
    from mmengine.config import DictAction

    parser.add_argument('--work-dir', help='folder for all output (default: work_dirs/<config name>)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override config entries, for example train_dataloader.batch_size=32',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='how the processes were started'
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def read_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply the options of :func:`add_run_options` to it.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    from mmengine.config import Config
    from mmengine.device import get_device

    if not Path(args.config).is_file():
        raise FileNotFoundError(f'no config file {args.config!r}; this project keeps its own under configs/')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.launcher != 'none' and get_device() == 'cpu':
        join_on_cpu(cfg)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def join_on_cpu(cfg: Config) -> None:
    """Have several processes without an accelerator talk through gloo."""
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    # MMEngine's default wrapper gets device ids, which CPU modules do not have.
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.setdefault('model_wrapper_cfg', wrapper)


def build_runner(cfg: Config) -> Runner:
    """Build the Runner that a config describes; any hook in ``default_hooks`` that is None is left out.

    Weights that it loads or resumes are the model's, all of them, or the run ends.

    Raises:
        ValueError: If ``model.init_cfg`` names a checkpoint, of which MMEngine would load what fits.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from .engine.hooks import FLSLWholeCheckpointHook

    if 'Pretrained' in str(cfg.model.get('init_cfg')):
        raise ValueError(
            'model.init_cfg would load what fits and leave the rest random: give the checkpoint of a whole model as '
            'load_from, and one with a backbone as model.backbone.init_cfg'
        )
    for name, hook in list(cfg.get('default_hooks', {}).items()):
        if hook is None and name not in MMENGINE_HOOKS:
            del cfg.default_hooks[name]
    with gpu_selection_where_possible():
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(FLSLWholeCheckpointHook())
    return runner


@contextmanager
def gpu_selection_where_possible() -> Iterator[None]:
    """Let MMEngine join several processes without a GPU, which it selects before joining, whatever the backend."""
    import torch
    from mmengine.device import get_device

    select = torch.cuda.set_device
    if get_device() == 'cpu':
        torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = select


def process_name() -> str:
    """Name this process among several, for messages; empty for a single one."""
    if int(os.environ.get('WORLD_SIZE', 1)) == 1:
        return ''
    return f' in rank {os.environ.get("RANK")} of {os.environ["WORLD_SIZE"]} on {socket.gethostname()}'


def explain(error: Exception) -> str:
    """Give an error's message in one line."""
    if isinstance(error, RuntimeError) and LOST_CONNECTION.search(str(error)):
        return "another process of this job has ended: see its own message, or its exit code in the launcher's report"
    if isinstance(error, OSError) and error.errno in NO_ROOM and error.strerror == os.strerror(error.errno):
        where = f' at {error.filename}' if error.filename else ''
        return f'the disk is full{where}: make room, then start again (a training run with --resume)'
    # Registries put "class X in file:" before a message; a KeyError quotes it.
    lines = [line for line in str(error).strip().strip('"\'').splitlines() if line.strip()]
    message = lines[-1] if lines else type(error).__name__
    expected = isinstance(error, (ValueError, OSError, ImportError, KeyError, FloatingPointError))
    return message if expected else f'{message} ({type(error).__name__}; --traceback shows where)'


def leave_job(failed: bool) -> None:
    """Leave the group of processes; its threads may abort an interpreter that ends while they run.

    Args:
        failed: Whether this process ended with an error, so that the others may be gone or waiting for it.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return
    # NCCL's goodbye waits for what is under way, which a failed process should not.
    if failed and distributed.get_backend() == 'nccl':
        return
    # The group ends with its last user: the model's wrapper, which lives in reference cycles of the Runner.
    gc.collect()
    # The others' end is not this process's error, and must not hide its own.
    with suppress(RuntimeError):
        distributed.destroy_process_group()


def run(program: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Run a program and turn its errors into one line on stderr; checkpoints that it reads cannot run code.

    Returns:
        Exit code: 0, or 2 after an error, or 130 after Ctrl-C. A program may leave with another one by itself.
    """
    failed = True
    try:
        from flsl_mm.engine.safe_loading import safe_mmengine_loading

        register()
        with safe_mmengine_loading():
            program(args)
        failed = False
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except SystemExit as stop:
        # Held here, because its traceback would keep the Runner.
        return stop.code
    except Exception as error:
        if args.traceback:
            traceback.print_exc()
        print(f'error{process_name()}: {explain(error)}', file=sys.stderr)
        return 2
    finally:
        leave_job(failed)
    return 0
