"""Every known bad pair of packages is found, with the command that repairs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flsl_mm import __version__
from flsl_mm.commands import doctor
from flsl_mm.commands.doctor import diagnose, report
from flsl_mm.commands.doctor.facts import UNKNOWN, Facts, family
from flsl_mm.commands.doctor.facts import UPSTREAM as UPSTREAM_OWNERS

ROOT = Path(__file__).parents[3]
COMMON = dict(
    torch='2.14.1',
    torchvision='0.29.1',
    timm='1.0.31',
    kornia='0.9.0',
    numpy='2.2.6',
    pillow='13.0.0',
    pycocotools='2.0.11',
    setuptools='84.2.1',
)
FORKS = COMMON | {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmpretrain': '1.3.6',
}
# The newest set on which upstream resumes by itself.
UPSTREAM = COMMON | {
    'torch': '2.5.1',
    'torchvision': '0.20.1',
    'setuptools': '80.10.2',
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmdet': '3.3.0',
    'mmpretrain': '1.2.0',
}


def without(versions: dict, *names: str) -> dict:
    return {name: version for name, version in versions.items() if name not in names}


@pytest.mark.parametrize(('versions', 'name'), [(FORKS, 'forks'), (UPSTREAM, 'upstream')])
def test_good_sets(versions, name):
    facts = Facts(versions=versions)
    assert diagnose(facts) == []
    assert family(facts) == name


PROBLEMS = {
    'upstream mmengine, torch that loads weights only': (
        Facts(versions=UPSTREAM | dict(torch='2.6.0+cu124', torchvision='0.21.0+cu124')),
        'upstream mmengine 0.10.7 cannot resume its own checkpoints on torch 2.6.0',
        'pip uninstall -y mmengine',
    ),
    'CPU-only torch, torchvision from the registry': (
        Facts(versions=FORKS | dict(torch='2.14.1+cpu')),
        'torchvision::nms is missing',
        'pip install --force-reinstall torch==2.14.1 torchvision==0.29.1',
    ),
    'the same, seen from the failing import': (
        Facts(versions=FORKS, failures=dict(torchvision='RuntimeError: operator torchvision::nms does not exist')),
        'torchvision::nms is missing',
        'pip install --force-reinstall torch==2.14.1 torchvision==0.29.1',
    ),
    'torchvision of another torch': (
        Facts(versions=FORKS | dict(torchvision='0.28.0')),
        'torchvision 0.28.0 was not made for torch 2.14.1',
        'pip install "torchvision==0.29.*"',
    ),
    'both families': (
        Facts(versions=FORKS | {'mmengine': '0.10.7', 'torch': '2.5.1', 'torchvision': '0.20.1', 'setuptools': '80.0'}),
        'both installed (onedl-mmengine, mmengine, onedl-mmcv, onedl-mmdetection, onedl-mmpretrain)',
        'pip uninstall -y onedl-mmengine mmengine',
    ),
    'a fork beside upstream packages': (
        Facts(versions=without(UPSTREAM, 'mmdet') | {'onedl-mmdetection': '3.5.1'}),
        'both installed (mmengine, mmcv-lite, onedl-mmdetection, mmpretrain)',
        'pip uninstall -y mmengine mmcv-lite onedl-mmdetection mmpretrain',
    ),
    'mmcv too new for mmdet': (
        Facts(versions=without(UPSTREAM, 'mmcv-lite') | dict(mmcv='2.2.0')),
        'mmdet 3.3.0 refuses mmcv 2.2.0',
        'pip uninstall -y mmcv mmcv-lite && pip install "mmcv-lite<2.2"',
    ),
    'mmcv and mmcv-lite': (
        Facts(versions=UPSTREAM | dict(mmcv='2.1.0')),
        'mmcv and mmcv-lite are both installed',
        'pip uninstall -y mmcv mmcv-lite && pip install "mmcv-lite<2.2"',
    ),
    'both families, and whatever else may follow from that': (
        Facts(versions=FORKS | {'mmengine': '0.10.7', 'mmcv': '2.2.0', 'mmdet': '3.3.0'}, ops='missing'),
        'both installed (onedl-mmengine, mmengine, onedl-mmcv, mmcv, onedl-mmdetection, mmdet, onedl-mmpretrain)',
        'pip uninstall -y onedl-mmengine mmengine onedl-mmcv mmcv onedl-mmdetection mmdet onedl-mmpretrain && '
        "pip install -e '.[mm]'",
    ),
    'no pkg_resources': (
        Facts(versions=UPSTREAM | dict(setuptools='82.0.0')),
        'needs pkg_resources, which setuptools 82.0.0 does not have',
        'pip install "setuptools<81"',
    ),
    'no setuptools': (
        Facts(versions=without(UPSTREAM, 'setuptools')),
        'needs pkg_resources, which setuptools does not have',
        'pip install "setuptools<81"',
    ),
    'ops compiled for another torch': (
        Facts(versions=FORKS, ops='ImportError: undefined symbol: _ZN3c10'),
        'compiled ops of mmcv do not fit the installed torch (ImportError: undefined symbol',
        'MMCV_WITH_OPS=1 pip install --no-build-isolation',
    ),
    'packages missing': (
        Facts(versions=without(FORKS, 'kornia', 'onedl-mmpretrain')),
        'not installed: kornia, mmpretrain',
        "pip install -e '.[mm]'",
    ),
    'old torch': (
        Facts(versions=FORKS | dict(torch='2.3.1', torchvision='0.18.1')),
        'torch 2.3.1 is older than 2.4',
        'torch==2.14.1',
    ),
    'old Python': (Facts(python=(3, 9, 1), versions=FORKS), 'Python is older than 3.10', 'python3.11 -m venv'),
    'broken package': (
        Facts(versions=FORKS, failures=dict(timm='SyntaxError: invalid syntax')),
        'import timm fails: SyntaxError',
        'pip install --force-reinstall --no-deps timm==1.0.31',
    ),
    'package that ends Python': (
        Facts(versions=FORKS, failures=dict(mmcv='it ends Python by SIGSEGV')),
        'import mmcv fails: it ends Python by SIGSEGV',
        'pip install --force-reinstall --no-deps onedl-mmcv==2.3.6',
    ),
    'package of another name': (
        Facts(versions=FORKS, failures=dict(PIL='ImportError: _imaging')),
        'import PIL fails: ImportError',
        'pip install --force-reinstall --no-deps pillow==13.0.0',
    ),
    'version that cannot be read': (
        Facts(versions=FORKS | dict(torch=UNKNOWN)),
        'torch has no version: its installation is damaged',
        'pip install --force-reinstall --no-deps torch',
    ),
}

NOTES = {
    'mmcv without compiled ops': (Facts(versions=FORKS, ops='missing'), 'stand-in', 'MMCV_WITH_OPS=1 pip install'),
    'no configs in the wheel': (Facts(versions=FORKS, mim_configs=False), "_base_ = 'mmdet::...' fails", 'git clone'),
    'no mmdet': (Facts(versions=without(FORKS, 'onedl-mmdetection')), 'mmdet is not installed', 'pip install'),
}


@pytest.mark.parametrize('name', [*PROBLEMS, *NOTES])
def test_what_is_wrong_is_named_with_its_command(name, monkeypatch, capsys):
    facts, text, command = (PROBLEMS | NOTES)[name]
    (finding,) = diagnose(facts)
    assert text in finding.text
    assert command in finding.command
    assert finding.harmless == (name in NOTES)
    monkeypatch.setattr(doctor, 'gather', lambda: facts)
    assert doctor.main([]) == (name in PROBLEMS)
    output = capsys.readouterr().out
    assert text in output
    assert f'to repair it: {finding.command}' in output


UPSTREAM_FACTS = {
    'mmpretrain missing': (Facts(versions=without(UPSTREAM, 'mmpretrain')), "pip install -e '.[upstream]'"),
    'mmdet missing': (Facts(versions=without(UPSTREAM, 'mmdet')), "pip install -e '.[upstream]'"),
    # The extra would install mmcv-lite over it.
    'mmdet missing beside mmcv': (
        Facts(versions=without(UPSTREAM, 'mmcv-lite', 'mmdet') | dict(mmcv='2.1.0')),
        'pip install -e . mmengine mmdet mmpretrain ',
    ),
    'no compiled ops': (Facts(versions=UPSTREAM, ops='missing'), '--no-binary :all: mmcv==2.1.0'),
    'broken ops': (Facts(versions=UPSTREAM, ops='ImportError: undefined symbol'), '--no-binary :all: mmcv==2.1.0'),
    'broken package': (Facts(versions=UPSTREAM, failures=dict(mmcv='SyntaxError')), '--no-deps mmcv-lite==2.1.0'),
    'old Python': (Facts(python=(3, 9, 1), versions=UPSTREAM), "pip install -e '.[upstream]'"),
}


@pytest.mark.parametrize('name', UPSTREAM_FACTS)
def test_upstream_stays_upstream(name):
    facts, command = UPSTREAM_FACTS[name]
    (finding,) = diagnose(facts)
    assert command in finding.command


UPSTREAM_NAMES = {owner for group in UPSTREAM_OWNERS.values() for owner in group}


@pytest.mark.parametrize(
    'facts',
    [
        facts
        for facts, *_ in [*(PROBLEMS | NOTES | UPSTREAM_FACTS).values(), (Facts(versions=FORKS | UPSTREAM),)]
        if UPSTREAM_NAMES & set(facts.versions)
    ],
)
def test_no_fork_is_installed_over_upstream(facts):
    for finding in diagnose(facts):
        steps = finding.command.split(' && ')
        removed = steps.pop(0).split() if steps[0].startswith('pip uninstall -y ') else []
        if 'onedl' in ' '.join(steps) or '.[mm]' in ' '.join(steps):
            assert UPSTREAM_NAMES & set(facts.versions) <= set(removed), finding.command


def test_families_that_are_mixed_and_absent():
    assert family(Facts(versions=FORKS | UPSTREAM)) == 'mixed'
    assert family(Facts()) == 'none'
    assert 'both families' in report(Facts(versions=FORKS | UPSTREAM), [])


def test_this_environment_is_described(capsys):
    code = doctor.main([])
    output = capsys.readouterr().out
    assert code == ('\nproblem: ' in output)
    assert 'OpenMMLab' in output
    assert f'flsl_mm       {__version__}\n' in output
    assert 'accelerator' in output


def test_it_runs_where_no_package_is_installed():
    # -S hides the installed packages.
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    command = [sys.executable, '-S', '-m', 'flsl_mm.commands', 'doctor']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ''
    assert 'problem: not installed: torch, torchvision' in done.stdout


@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help_looks_at_nothing(option, monkeypatch, capsys):
    monkeypatch.setattr(doctor, 'gather', lambda: pytest.fail('it looked'))
    with pytest.raises(SystemExit) as left:
        doctor.main([option])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith('usage: ')
