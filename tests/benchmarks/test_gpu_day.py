"""The program for minutes of a GPU: its parts in their time, one file of what they left, and options that they know."""

import json
import sys
import time
from pathlib import Path

import gpu_day
import measure
import pytest
import run_all

from flsl_mm.commands import evidence

WRITE = "import json, sys; json.dump(dict(limit=sys.argv[2]), open(sys.argv[1], 'w'))"
FAIL = 'raise SystemExit(3)'
HANG = """
import json, sys, time
try:
    with open(sys.argv[1], 'w') as file:
        json.dump(dict(partial=True), file)
    time.sleep(60)
except KeyboardInterrupt:
    with open(sys.argv[1], 'w') as file:
        json.dump(dict(partial='whole'), file)
"""
REPORT = """<testsuites><testsuite>
<testcase classname="tests.gpu.test_a" name="test_one[cpu]">
<properties><property name="GiB" value="3.1"/></properties></testcase>
<testcase classname="tests.gpu.test_a" name="test_one[cuda]"><skipped message="needs a GPU"/></testcase>
<testcase classname="tests.gpu.test_a" name="test_two"><failure message="assert 1 == 2">...</failure></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def parts(monkeypatch):
    """Put short programs in the place of the parts, each with the same share of the time that is left."""
    monkeypatch.setattr(gpu_day, 'start_scenes', lambda folder, dry_run: None)
    monkeypatch.setattr(measure, 'choose_device', lambda wanted: wanted)

    def replace(share: float = 0.5, **programs: str) -> None:
        def plan(folder: Path, images: Path, dry_run: bool) -> dict:
            def part(name: str, text: str) -> gpu_day.Part:
                file = folder / f'{name}.json'
                command = [sys.executable, '-c', text, str(file)]
                return gpu_day.Part(lambda seconds: [*command, f'{seconds:.0f}'], file, gpu_day.read_json, share)

            return {name: part(name, text) for name, text in programs.items()}

        monkeypatch.setattr(gpu_day, 'plan', plan)

    return replace


def test_parts_share_the_time_and_leave_what_they_have(parts, tmp_path, monkeypatch, capfd):
    parts(tests=WRITE, benchmarks=FAIL, evidence=WRITE)
    out = tmp_path / 'day.json'
    assert gpu_day.main(['--minutes', '10', '--out', str(out)]) == 1
    results = json.loads(out.read_text())
    assert results['failed'] == {'benchmarks': 'exit code 3'}
    assert list(results['parts']) == ['tests', 'evidence']
    # Half of ten minutes, less the grace, and nearly as much again: what a part does not need goes to the next ones.
    assert results['parts']['tests']['limit'] == '290'
    assert 280 <= int(results['parts']['evidence']['limit']) <= 290
    assert 'failed: benchmarks, exit code 3' in capfd.readouterr().err


def test_a_part_whose_time_is_over_writes_what_it_has(parts, tmp_path):
    parts(hangs=HANG, last=WRITE)
    out = tmp_path / 'day.json'
    start = time.monotonic()
    assert gpu_day.main(['--minutes', '0.4', '--out', str(out)]) == 1
    assert time.monotonic() - start < 60
    results = json.loads(out.read_text())
    assert results['parts']['hangs']['partial'] == 'whole'
    assert 'took longer' in results['failed']['hangs']
    assert 'last' in results['parts']


def test_reports_of_tests(tmp_path):
    (tmp_path / 'tests.xml').write_text(REPORT)
    counts = dict(passed=1, skipped=1, failed=1, failures={'test_a::test_two': 'assert 1 == 2'})
    assert gpu_day.read_tests(tmp_path / 'tests.xml') == counts | dict(figures={'test_a::test_one[cpu]: GiB': '3.1'})


def test_programs_know_their_options(tmp_path):
    planned = gpu_day.plan(tmp_path, tmp_path)
    assert list(planned) == ['tests', 'benchmarks', 'evidence_flsl_vit-t8d4_jitter', 'evidence_flsl_vit-s16_jitter']
    args = run_all.get_parser().parse_args(planned['benchmarks'].command(300)[2:])
    assert (args.device, args.minutes, args.out) == ('cuda', 5, planned['benchmarks'].file)
    for name in list(planned)[2:]:
        args = evidence.parse_args(planned[name].command(120)[4:])
        assert (args.total_minutes, args.out) == (2, planned[name].file.parent)
        assert all(config.is_file() for config in args.configs)


@pytest.mark.parametrize(
    ('options', 'line'),
    [(['--minutes', '0'], '--minutes must be positive'), ([], '--device cuda, but torch finds no GPU')],
)
def test_mistakes(options, line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert gpu_day.main(['--out', str(tmp_path / 'day.json'), *options]) == 2
    assert line in capsys.readouterr().err


@pytest.mark.slow
def test_all_of_it_small_on_the_cpu(tmp_path):
    assert gpu_day.main(['--dry-run', '--out', str(tmp_path / 'day.json')]) == 0
    results = json.loads((tmp_path / 'day.json').read_text())
    assert list(results['parts']) == list(gpu_day.plan(tmp_path, tmp_path))
    assert results['parts']['tests']['passed'] > 30
