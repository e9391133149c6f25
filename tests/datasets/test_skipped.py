"""The list of skipped files: any name, several processes, once each."""

import os
import subprocess
import sys

from flsl_mm.datasets.skipped import SkippedLog, read_skipped


def test_what_another_process_has_listed_is_not_listed_again(tmp_path):
    assert read_skipped(tmp_path / 'log.txt') == {}
    ours, theirs = SkippedLog(tmp_path / 'log.txt'), SkippedLog(tmp_path / 'log.txt')
    assert ours.add('/1.jpg', 'a')
    assert not theirs.add('/1.jpg', 'b')
    assert theirs.add('/2.jpg', 'b')
    assert not ours.add('/2.jpg', 'a')
    assert read_skipped(tmp_path / 'log.txt') == {'/1.jpg': 'a', '/2.jpg': 'b'}
    names = ['/a b/\u00e9.jpg', os.fsdecode(b'/x\xff.jpg'), '/tab\there.jpg']  # any name
    assert [ours.add(name, 'reason') for name in names] == [True] * 3
    assert read_skipped(tmp_path / 'log.txt').items() >= dict.fromkeys(names, 'reason').items()


def test_a_long_list_is_read_once(tmp_path):
    log = tmp_path / 'log.txt'
    log.write_bytes(b''.join(b'/%d.jpg\treason\n' % number for number in range(1000)))
    skipped = SkippedLog(log)
    skipped.add('/new.jpg', 'reason')
    log.write_bytes(b'x' * log.stat().st_size)  # what was read is not looked at any more
    assert not skipped.add('/999.jpg', 'reason')
    assert skipped.add('/newer.jpg', 'reason')


def test_a_name_outside_of_ascii_is_listed_once_in_the_c_locale(tmp_path):
    code = (
        'import sys, os; from flsl_mm.datasets.skipped import SkippedLog, read_skipped; '
        "added = [SkippedLog(sys.argv[1]).add(os.fsdecode(b'/\\xc3\\xa9.jpg'), 'reason') for _ in range(2)]; "
        'print(sys.getfilesystemencoding(), added, len(read_skipped(sys.argv[1])))'
    )
    environment = dict(os.environ, LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
    done = subprocess.run(
        [sys.executable, '-c', code, tmp_path / 'log.txt'], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ['ascii', '[True,', 'False]', '1'], done.stderr
