"""tools/benchmarks/uavdt.py on a tree of a few frames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / 'tools' / 'benchmarks' / 'uavdt.py'


def test_counts_and_file(tmp_path):
    out = tmp_path / 'numbers.json'
    options = ['--frames', '2', '--boxes', '3', '--regions', '1', '--workers', '1', '--out', str(out)]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('100 frames, 300 boxes, 100 ignore regions')
    numbers = json.loads(out.read_text())
    assert (numbers['frames'], numbers['boxes'], numbers['ignore_regions']) == (100, 300, 100)
    # An object takes some 200 bytes.
    assert 0.02 < numbers['json_mb'] < 0.2
    assert numbers['seconds'] > 0
    assert numbers['setting']['workers'] == 1


def test_impossible_options():
    done = subprocess.run([sys.executable, str(SCRIPT), '--frames', '0'], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == 'error: --frames, --boxes, --regions and --workers must be at least 1'
