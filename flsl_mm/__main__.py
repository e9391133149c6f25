"""The command ``flsl-mm`` (also ``python -m flsl_mm``): runs one of the programs in tools/, wherever they are."""

from __future__ import annotations

import ast
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from .shipped import config_names, shipped_folder
from .version import __version__

FOLDERS = ('', 'dataset_converters', 'model_converters')
"""Folders of tools/ whose programs are commands."""

FIRST = ('train', 'test', 'evaluate')
"""Commands that come first in the list."""


def commands() -> dict[str, Path]:
    """Find the programs by the names of their commands: ``tools/plot_run.py`` is ``plot-run``."""
    found = {'doctor': Path(__file__).parent / 'doctor' / '__main__.py'}
    for folder in FOLDERS:
        for path in sorted((shipped_folder('tools') / folder).glob('*.py')):
            if '__main__' in path.read_text(encoding='utf-8'):
                found.setdefault(path.stem.replace('_', '-'), path)
    order = {name: FIRST.index(name) if name in FIRST else len(FIRST) for name in found}
    return dict(sorted(found.items(), key=lambda item: (order[item[0]], item[0])))


def description(path: Path) -> str:
    """Return the first line of a program's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return docstring.partition('\n')[0]


def overview() -> str:
    """List commands and configs."""
    found = commands()
    width = max(map(len, found))
    configs = [name for name in config_names() if name.count('/') == 1]
    return '\n'.join(
        [
            'usage: flsl-mm COMMAND [options]       (flsl-mm COMMAND --help lists them)',
            '',
            'commands:',
            *(f'  {name:<{width}}  {description(path)}' for name, path in found.items()),
            '',
            f'configs, for train and test, by name or path ({shipped_folder("configs")}):',
            *(f'  {name}' for name in configs),
        ]
    )


def run_program(path: Path, name: str, arguments: list[str]) -> None:
    """Run a program as Python runs a script; it ends with SystemExit.

    Processes that it starts with multiprocessing find it as their main module, as they do for a script.
    """
    program = ModuleType('__main__')
    program.__file__ = str(path)
    sys.modules['__main__'] = program
    sys.path.insert(0, str(path.parent))
    sys.argv = [f'flsl-mm {name}', *arguments]
    exec(compile(path.read_text(encoding='utf-8'), path, 'exec'), vars(program))


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code, 2 for one that does not exist."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ('-h', '--help', 'help'):
        try:
            print(overview(), flush=True)
        except BrokenPipeError:  # of `flsl-mm | head`; the interpreter's own flush at its end must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if argv[0] == '--version':
        print(__version__)
        return 0
    found, name = commands(), argv[0].replace('_', '-')
    if name not in found:
        near = get_close_matches(name, found, n=2)
        hint = f'did you mean {" or ".join(near)}?' if near else f'there are {", ".join(found)}'
        print(f'error: no command {argv[0]!r}: {hint}', file=sys.stderr)
        return 2
    if name == 'doctor':
        from . import doctor

        return doctor.main(argv[1:])
    run_program(found[name], name, argv[1:])
    return 0


if __name__ == '__main__':
    sys.exit(main())
