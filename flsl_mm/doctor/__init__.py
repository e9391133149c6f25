"""Checks the installed packages, ``python -m flsl_mm.doctor``; imports Python's library only.

Packages that are missing or broken are what it is for.
"""

from __future__ import annotations

import argparse

from .checks import diagnose
from .environment import gather, run_checks
from .report import report

__all__ = ['diagnose', 'gather', 'main', 'report']


def main(argv: list[str] | None = None) -> int:
    """Print the report; returns 0, or 1 if there is a problem."""
    parser = argparse.ArgumentParser(
        prog='python -m flsl_mm.doctor',
        description='Check the installed packages and name the command that repairs what is wrong.',
        epilog='Exit code 0, or 1 if there is a problem.',
    )
    parser.add_argument('--run-checks', nargs='+', help=argparse.SUPPRESS)  # in a process that may crash
    args = parser.parse_args(argv)
    if args.run_checks:
        for line in run_checks(args.run_checks):
            print(line, flush=True)
        return 0
    facts = gather()
    findings = diagnose(facts)
    print(report(facts, findings))
    return int(any(not finding.harmless for finding in findings))
