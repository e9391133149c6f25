"""Write the doctor's findings as text."""

from __future__ import annotations

import platform

from .facts import FORKS, REQUIRED, Facts, Finding, family, owners


def report(facts: Facts, findings: list[Finding]) -> str:
    """Write what was found, for people."""
    families = {'forks': 'maintained forks (onedl)', 'upstream': 'upstream', 'mixed': 'both families', 'none': 'none'}
    ops = {'compiled': 'compiled', 'missing': 'stand-in on torchvision'}.get(facts.ops, 'broken')
    rows = [('flsl_mm', facts.own), ('Python', f'{".".join(map(str, facts.python))} on {platform.platform()}')]
    rows += [(name, facts.versions.get(name, 'not installed')) for name in REQUIRED]
    rows += [('OpenMMLab', families[family(facts)])]
    for name in FORKS:
        installed = [f'{facts.versions[owner]} ({owner})' for owner in owners(facts, name)]
        rows += [(f'  {name}', ', '.join(installed) or 'not installed')]
    rows += [('mmcv ops', ops if owners(facts, 'mmcv') else 'none'), ('accelerator', facts.accelerator)]
    rows += [(name, f'cannot be imported: {error}') for name, error in facts.failures.items()]
    lines = [f'{name:<14}{value}' for name, value in rows]
    for finding in findings:
        kind = 'note' if finding.harmless else 'problem'
        lines += ['', f'{kind}: {finding.text}', f'  to repair it: {finding.command}']
    problems = sum(not finding.harmless for finding in findings)
    lines += ['', f'{problems} problem{"" if problems == 1 else "s"}']
    return '\n'.join(lines)
