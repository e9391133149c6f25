"""Tests of tools/benchmarks, whose programs import each other as programs do: by name, from their own folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'benchmarks'))
