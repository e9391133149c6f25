"""Runs of the command-line programs in this process."""

from collections.abc import Callable, Iterable


def refused(main: Callable[[list[str]], int], arguments: Iterable, capsys, alone: bool = True) -> str:
    """Run a program that must end with exit code 2 and one line; returns the line.

    Args:
        main: The program.
        arguments: Its arguments, which become text.
        capsys: The fixture that holds what is printed.
        alone: Whether nothing else may be printed as an error, not even progress.
    """
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith('error: ')
    assert len([line for line in lines if alone or line.startswith(('error: ', 'Traceback'))]) == 1
    return lines[-1].removeprefix('error: ')
