"""Careless command lines of the benchmarks get one line, before anything is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DETECTOR = 'configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py'


@pytest.mark.parametrize(
    ('command', 'line'),
    [
        (['train_step.py', '--config', DETECTOR], 'is no pretraining config: its model is MaskRCNN, not FLSL'),
        (['train_step.py', '--out', '/missing/a.json'], 'no folder /missing for --out'),
        (['run_all.py', '--out', '/missing/a.json'], 'no folder /missing for --out'),
        (['views.py', '--step-json', 'missing.json'], 'no file missing.json: write it with tools/benchmarks'),
    ],
)
def test_one_line(command, line):
    program = [sys.executable, f'tools/benchmarks/{command[0]}', *command[1:]]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert line in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
