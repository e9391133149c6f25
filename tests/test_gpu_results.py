"""The page on status reads what a day with a GPU has left."""

import importlib.util
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / 'docs'
RESULTS = dict(
    machine=dict(gpu='a GPU', cpu='a CPU', commit='abc', torch='2.14.1'),
    parts=dict(
        tests=dict(passed=70, skipped=1, failures={'test_vos::test_masks': 'no'}, failed=1),
        benchmarks=dict(benchmarks=dict(step=dict(ratio=1.23456, images_per_second=5000.4), loader=dict())),
        evidence_a=dict(
            figures=[dict(data='scenes', figure='AUC', curves=dict(a=[[0.1], [0.7, 0.8]]), trivial=dict(color=[0.6]))]
        ),
    ),
    failed=dict(evidence_b='took longer than 60 s'),
)


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location('gpu_results', DOCS / 'gpu_results.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_was_measured(module, tmp_path, monkeypatch):
    page = (DOCS / 'status.md').read_text(encoding='utf-8')
    source = [page]
    monkeypatch.setattr(module, 'FILE', tmp_path / 'gpu_day.json')
    module.insert(None, 'status', source)
    assert source == [page]
    module.FILE.write_text(json.dumps(RESULTS))
    module.insert(None, 'status', source)
    lines = source[0].splitlines()
    for line in (
        'Run on a GPU at commit abc, torch 2.14.1.',
        '`pytest -m gpu`: 70 passed, 1 failed, 1 skipped.',
        '- failed: `test_vos::test_masks`',
        '| step | 1.235 | 5,000 |',
        '| loader | - | - |',
        '- scenes, AUC: a 0.750, color 0.600',
        '- evidence_b: took longer than 60 s',
    ):
        assert line in lines, line
    assert module.NOT_RUN not in source[0]
