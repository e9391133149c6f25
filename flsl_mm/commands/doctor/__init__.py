"""Check the installed packages and name the command that repairs what is wrong.

Packages that are missing or broken are what it is for, so it imports Python's library only.
"""

from __future__ import annotations

import argparse

from .checks import diagnose
from .environment import gather
from .report import report

__all__ = ['diagnose', 'gather', 'main', 'report']


def main(argv: list[str] | None = None) -> int:
    """Print the report; returns 0, or 1 if there is a problem."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0],
        epilog='Exit code 0, or 1 if there is a problem.',
    )
    parser.parse_args(argv)
    facts = gather()
    findings = diagnose(facts)
    print(report(facts, findings))
    return int(any(not finding.harmless for finding in findings))
