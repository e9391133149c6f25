"""What the commands share: options of runs, config reading, and errors in one line.

Torch and MMEngine are imported where they are used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import gc
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm import register
from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import OutputError, say

from .config_files import find_config
from .config_options import ConfigOptions, check_options
from .quiet import read_config_quietly, short_warnings, without_debug_messages

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

LOST_CONNECTION = re.compile(r'closed by peer|[Cc]onnection reset|ncclRemoteError|Broken pipe')
"""What gloo and NCCL say when another process of the job is gone."""

WRONG_WIDTH = re.compile(r'mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)')
"""What torch says of a linear layer for inputs of another width."""

REGISTRY_PREFIX = re.compile(r'class \S+ in \S+: .*\n')
"""Line that registries put before a message."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system says of a full disk, a used-up quota, and a file beyond the limit."""

OS_ADVICE = {
    errno.ENOENT: 'give the path of what is there',
    errno.EEXIST: 'give another name',
    errno.ENOTDIR: 'a part of the path is no folder: give another',
    errno.EISDIR: 'give the path of a file',
    errno.ENAMETOOLONG: 'give a shorter name',
    errno.EACCES: 'change its permissions or give another path',
    errno.EPERM: 'change its permissions or give another path',
    errno.EROFS: 'give a path where you can write',
    errno.EMFILE: 'raise the limit (ulimit -n) or use fewer workers',
    errno.ENXIO: 'give the path of a file',
}
"""What to do, by what a system says of a path."""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every program which builds a Runner has."""
    parser.add_argument('--work-dir', help='folder for all output (default: work_dirs/<config name>)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override config entries, for example train_dataloader.batch_size=32',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        help='how several processes were started (default: by torchrun, if it was)',
    )
    parser.add_argument(
        '--verbose', action='store_true', help='show on the console all that the log file in the work folder gets'
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def read_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply the options of :func:`add_run_options` to it.

    It is a config file, the name of one of ours, or a work folder.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If a folder has several, or the name of the work folder is not UTF-8.
    """
    if Path(args.config).is_dir():
        args.work_dir = args.work_dir or args.config
        args.config = str(saved_config(Path(args.config)))
    args.config = str(find_config(args.config))
    if not os.environ.get('LOCAL_RANK', '').isdecimal():  # empty where a script passes on what is not set
        os.environ['LOCAL_RANK'] = str(args.local_rank)
    cfg = read_config_quietly(args.config)
    if args.cfg_options:
        check_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    logger = (cfg.get('default_hooks') or {}).get('logger') or {}
    if args.verbose and logger.get('type') == 'FLSLLoggerHook':  # MMEngine's own shows all by itself
        logger.verbose = True
    cfg.launcher = args.launcher or 'none'
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    if cfg.work_dir != cfg.work_dir.encode('utf-8', 'ignore').decode():
        raise ValueError(f'the name of the work folder {cfg.work_dir} is not UTF-8, as files in it need: rename it')
    return cfg


def saved_config(folder: Path) -> Path:
    """Find the config that a run has left in its work folder, with all options that it was started with.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are several.
    """
    found = sorted(folder.glob('*.py'))
    if not found:
        raise FileNotFoundError(f'no config in {folder}: give the config file, and the folder as --work-dir')
    if len(found) > 1:
        raise ValueError(f'{folder} has the configs {", ".join(path.name for path in found)}: give one of them')
    return found[0]


def make_work_folder(folder: str) -> None:
    """Make the work folder of a run.

    Raises:
        OSError: If it cannot be made; the message says what to do.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise OSError(
            f'the work folder {folder} cannot be made ({error.strerror}): give --work-dir another name'
        ) from None


def build_runner(cfg: Config) -> Runner:
    """Build the Runner that a config describes, an FLSLRunner unless it has another ``runner_type``.

    Raises:
        OSError: As of :func:`make_work_folder`.
    """
    make_work_folder(cfg.work_dir)
    from mmengine.registry import RUNNERS

    from flsl_mm.engine import FLSLRunner

    return RUNNERS.build(cfg) if 'runner_type' in cfg else FLSLRunner.from_cfg(cfg)


def explain(error: Exception) -> str:
    """Return an error's message in one line that a terminal can show."""
    if isinstance(error, RuntimeError) and LOST_CONNECTION.search(str(error)):
        return "another process of this job has ended: see its own message, or its exit code in the launcher's report"
    if isinstance(error, OSError) and error.errno in NO_ROOM and error.strerror == os.strerror(error.errno):
        where = f' at {printable(error.filename)}' if error.filename else ''
        return f'the disk is full{where}: make room, then start again (a training run with --resume)'
    if isinstance(error, OSError) and error.filename and error.errno in OS_ADVICE:
        what = f'{os.fsdecode(error.filename)}: {(error.strerror or "").lower()}'
        return printable(f'{what}; {OS_ADVICE[error.errno]}')
    widths = WRONG_WIDTH.search(str(error))
    if isinstance(error, RuntimeError) and widths:
        return (
            f'a layer for inputs of width {widths[2]} gets width {widths[1]}: make embed_dim and the in_channels that '
            'follow it agree (--traceback shows which)'
        )
    missing = missing_module(error) if isinstance(error, ImportError) else None
    if missing:
        return (
            f'the package {missing} is not installed, and the config needs it: see `flsl-mm doctor`'
            f'{", or install the extra seg" if missing == "mmseg" else ""}'
        )
    # The text of a KeyError is the Python source of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)
    if isinstance(error, KeyError) and text.isidentifier():
        return f'no entry {text!r} where one is needed; a part of the config may lack it (--traceback shows where)'
    if isinstance(error, (ValueError, OSError)):  # a name in it may have line breaks, which are shown
        message = printable(REGISTRY_PREFIX.sub('', text.strip()))
    else:
        message = printable(next((line.strip() for line in reversed(text.splitlines()) if line.strip()), ''))
    message = message or type(error).__name__
    expected = isinstance(error, (ValueError, OSError, ImportError, KeyError, FloatingPointError))
    return message if expected else f'{message} ({type(error).__name__}; --traceback shows where)'


def close_progress_bars() -> None:
    """Leave progress bars as they stand, if a run has shown any."""
    console = sys.modules.get('flsl_mm.utils.console')
    if console is not None:
        console.close_bars()


def missing_module(error: BaseException | None) -> str | None:
    """Name the OpenMMLab package without which a config's imports failed; MMEngine says something else of it."""
    while error is not None:
        name = (getattr(error, 'name', None) or '').partition('.')[0]
        if isinstance(error, ModuleNotFoundError) and name.startswith('mm'):
            return name
        error = error.__cause__ or error.__context__
    return None


def leave_process_group(failed: bool) -> None:
    """Leave the group of processes; its threads may abort an interpreter that ends while they run.

    Args:
        failed: Whether this process ended with an error, so that the others may be gone or waiting for it.
    """
    distributed = sys.modules.get('torch.distributed')  # torch takes seconds to load, if the program has not
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return
    # NCCL's goodbye waits for what is under way, which a failed process should not.
    if failed and distributed.get_backend() == 'nccl':
        return
    # The group ends with its last user: the model's wrapper, which lives in reference cycles of the Runner.
    gc.collect()
    # The others' end is not this process's error, and must not hide its own.
    with suppress(RuntimeError):
        distributed.destroy_process_group()


@contextmanager
def dead_workers_ignored() -> Iterator[None]:
    """Keep torch, which raises an error wherever the program is when a loader's worker dies, from raising it here."""
    if not hasattr(signal, 'SIGCHLD') or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


def run(program: Callable[[argparse.Namespace], None], args: argparse.Namespace, mmengine: bool = True) -> int:
    """Run a program and turn its errors into one line on stderr.

    Args:
        program: Called with ``args``.
        args: Its options, ``traceback`` among them.
        mmengine: Whether it uses MMEngine, whose remarks for developers are then left out; it need not be installed
            otherwise.

    Returns:
        Exit code: 0, or 2 after an error, or 130 after Ctrl-C. A program may leave with another one by itself.
    """
    failed, process = True, None
    os.environ['MPLBACKEND'] = 'Agg'  # figures are written, not shown; another one may not even be there
    try:
        with ExitStack() as stack:
            if mmengine:
                register()
            if hasattr(args, 'launcher'):
                from flsl_mm.engine import launch

                args.launcher = launch.find_launcher(args.launcher)
                process = launch.process_of(args.launcher)
            stack.enter_context(short_warnings(shown=process is None or process.rank == 0))
            if mmengine:
                stack.enter_context(without_debug_messages())
            program(args)
        failed = False
    except KeyboardInterrupt as stop:
        close_progress_bars()
        say(': '.join(['interrupted', *map(str, stop.args)]), error=True)
        return 130
    except SystemExit as stop:
        # Held here, because its traceback would keep the Runner.
        return stop.code
    except OutputError:  # told by the caller, as of all commands
        raise
    except Exception as error:
        with dead_workers_ignored():
            close_progress_bars()
            if args.traceback:
                say(*traceback.format_exc().splitlines(), error=True)
            say(f'error{process or ""}: {explain(error)}', error=True)
        return 2
    finally:
        leave_process_group(failed)
    return 0
