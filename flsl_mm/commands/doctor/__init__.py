"""Check the installed packages and name the command that repairs what is wrong.

Packages that are missing or broken are what it is for, so it imports Python's library only.
"""

from __future__ import annotations

from flsl_mm.utils.terminal import say

from ..parser import Parser
from .checks import diagnose
from .environment import gather
from .report import report

__all__ = ['diagnose', 'gather', 'main', 'report']


def main(argv: list[str] | None = None) -> int:
    """Print the report; returns 0, or 1 if there is a problem."""
    parser = Parser(__doc__.partition('\n')[0], 'Exit code 0, or 1 if there is a problem.')
    parser.parse_args(argv)
    facts = gather()
    findings = diagnose(facts)
    say(*report(facts, findings).splitlines())
    return int(any(not finding.harmless for finding in findings))
