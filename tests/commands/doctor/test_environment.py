"""Packages that end Python, hang or have no version do not end the doctor."""

import pytest

from flsl_mm.commands.doctor import environment
from flsl_mm.commands.doctor.facts import UNKNOWN

PACKAGES = {
    'good_package': 'print(1)',
    'broken_package': 'import no_such_thing_at_all',
    'leaving_package': 'raise SystemExit(0)',
    'dying_package': 'import os; os._exit(3)',
    'crashing_package': 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)',
    'hanging_package': 'import time; time.sleep(1000)',
    'last_package': '',
}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    for name, code in PACKAGES.items():
        (tmp_path / f'{name}.py').write_text(code)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    monkeypatch.syspath_prepend(tmp_path)


def test_every_package_is_asked_whatever_those_before_did(packages, monkeypatch):
    monkeypatch.setattr(environment, 'TIMEOUT', 10)
    assert environment.check_in_subprocess([*PACKAGES, 'absent_package']) == {
        'good_package': '',
        'broken_package': "ModuleNotFoundError: No module named 'no_such_thing_at_all'",
        'leaving_package': 'SystemExit: 0',
        'dying_package': 'it ends Python with exit code 3',
        'crashing_package': 'it ends Python by SIGSEGV',
        'hanging_package': 'it takes more than 10 s',
        'last_package': '',
        'absent_package': "ModuleNotFoundError: No module named 'absent_package'",
    }


@pytest.mark.parametrize(('there', 'failures'), [(True, {'timm'}), (False, set())])
def test_a_package_without_its_files_is_broken_and_not_absent(monkeypatch, there, failures):
    monkeypatch.setattr(environment, 'installed_version', lambda name: '1.0' if name != 'timm' or there else None)
    error = "ModuleNotFoundError: No module named 'timm'"
    monkeypatch.setattr(environment, 'check_in_subprocess', lambda names: dict.fromkeys(names, '') | dict(timm=error))
    assert set(environment.gather().failures) == failures


@pytest.mark.parametrize('damage', [KeyError('Version'), None])
def test_a_version_that_cannot_be_read(monkeypatch, damage):
    def version(name):
        if damage:
            raise damage

    monkeypatch.setattr(environment.metadata, 'version', version)
    assert environment.installed_version('torch') == UNKNOWN


def test_stand_in_does_not_count_as_compiled_ops(monkeypatch):
    class Spec:
        origin = 'flsl_mm.utils.compat'

    monkeypatch.setattr(environment, 'import_error', lambda module: None)
    monkeypatch.setattr(environment.importlib.util, 'find_spec', lambda name: Spec)
    assert environment.ops_state() == 'missing'
    Spec.origin = '/site-packages/mmcv/_ext.so'
    assert environment.ops_state() == 'compiled'
    errors = {'mmcv': None, 'mmcv._ext': 'ImportError: undefined symbol'}
    monkeypatch.setattr(environment, 'import_error', errors.get)
    assert environment.ops_state() == 'ImportError: undefined symbol'


def test_modules_of_the_current_folder_are_not_run(tmp_path, monkeypatch):
    for name in ('numpy', 'json', 'torch'):
        (tmp_path / f'{name}.py').write_text("open('was_run', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    assert environment.check_in_subprocess(['numpy']) == {'numpy': ''}
    assert not (tmp_path / 'was_run').exists()
