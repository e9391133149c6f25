"""One run at a time in a work folder."""

import os
import subprocess
import sys

import pytest

from flsl_mm.utils.work_folder import LOCK, locked_folder

HOLD = """
import sys, time
from flsl_mm.utils.work_folder import locked_folder
with locked_folder(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_told_who_holds_the_folder(holder, tmp_path):
    line = rf'the folder {tmp_path} is in use by process {holder.pid} on .*: wait for that run, end it, or give'
    with pytest.raises(BlockingIOError, match=line), locked_folder(tmp_path):
        pytest.fail('it started')


def test_a_killed_run_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked_folder(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f'process {os.getpid()} on ')
    assert (tmp_path / LOCK).read_text() == ''
