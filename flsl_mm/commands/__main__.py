"""The command ``flsl-mm`` (also ``python -m flsl_mm.commands``): lists the commands and runs one of them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from flsl_mm import __version__
from flsl_mm.utils.terminal import OutputError, open_closed_streams, say

from . import COMMANDS
from .config_files import config_names, configs_folder


def command_module(name: str) -> ModuleType:
    """Import the module of a command."""
    return import_module(f'.{name.replace("-", "_")}', __package__)


def overview() -> str:
    """List commands and configs."""
    width = max(map(len, COMMANDS))
    descriptions = {name: command_module(name).__doc__.partition('\n')[0] for name in COMMANDS}
    configs = [name for name in config_names() if name.count('/') == 1]
    return '\n'.join(
        [
            'usage: flsl-mm COMMAND [options]       (flsl-mm COMMAND --help lists them)',
            '',
            'commands:',
            *(f'  {name:<{width}}  {text}' for name, text in descriptions.items()),
            '',
            f'configs, for train and test, by name or path ({configs_folder()}):',
            *(f'  {name}' for name in configs),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for one that does not exist, or where nothing can be printed."""
    open_closed_streams()
    try:
        try:
            return run_command(sys.argv[1:] if argv is None else argv)
        finally:
            flush_output()
    except OutputError as error:
        # The interpreter's own flush at its end must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.closed:
            return 0
        with suppress(OutputError):  # stderr may be on the same full disk
            say(f'error: {error}', error=True)
        return 2


def flush_output() -> None:
    """Write what argparse has printed; raises OutputError where it cannot be."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(error) from None


def run_command(argv: list[str]) -> int:
    """Run the command that the first argument names, with the others."""
    if not argv or argv[0] in ('-h', '--help', 'help'):
        say(*overview().splitlines())
        return 0
    if argv[0] == '--version':
        say(__version__)
        return 0
    name = argv[0].replace('_', '-')
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=2)
        hint = f'did you mean {" or ".join(near)}?' if near else f'there are {", ".join(COMMANDS)}'
        say(f'error: no command {argv[0]!r}: {hint}', error=True)
        return 2
    sys.argv[0] = f'flsl-mm {name}'  # argparse shows it
    return command_module(name).main(argv[1:])


if __name__ == '__main__':
    sys.exit(main())
