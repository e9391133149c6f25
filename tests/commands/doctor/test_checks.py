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


def versions_of(text: str) -> dict[str, str]:
    return dict(package.split('==') for package in text.split())


COMMON = versions_of('torch==2.14.1 torchvision==0.29.1 timm==1.0.31 kornia==0.9.0 numpy==2.2.6 pillow==13.0.0')
COMMON |= versions_of('pycocotools==2.0.11 setuptools==84.2.1')
FORKS = COMMON | versions_of('onedl-mmengine==0.10.12 onedl-mmcv==2.3.6')
FORKS |= versions_of('onedl-mmdetection==3.5.1 onedl-mmpretrain==1.3.6')
# The newest set on which upstream resumes by itself.
UPSTREAM = COMMON | versions_of('torch==2.5.1 torchvision==0.20.1 setuptools==80.10.2')
UPSTREAM |= versions_of('mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 mmpretrain==1.2.0')


def forks(*left_out: str, **changes: str) -> Facts:
    return Facts(versions={name: version for name, version in (FORKS | changes).items() if name not in left_out})


def upstream(*left_out: str, **changes: str) -> Facts:
    return Facts(versions={name: version for name, version in (UPSTREAM | changes).items() if name not in left_out})


@pytest.mark.parametrize(('versions', 'name'), [(FORKS, 'forks'), (UPSTREAM, 'upstream')])
def test_families(versions, name):
    facts = Facts(versions=versions)
    assert diagnose(facts) == []
    assert family(facts) == name
    mixed = Facts(versions=FORKS | UPSTREAM)
    assert (family(mixed), family(Facts())) == ('mixed', 'none')
    assert 'both families' in report(mixed, [])


BOTH = forks(mmengine='0.10.7', torch='2.5.1', torchvision='0.20.1', setuptools='80.0')
ALL_OF_BOTH = 'onedl-mmengine mmengine onedl-mmcv mmcv onedl-mmdetection mmdet onedl-mmpretrain'
REPLACE = 'pip install --force-reinstall --no-deps '
LITE = 'pip uninstall -y mmcv mmcv-lite && pip install "mmcv-lite<2.2"'
NO_NMS = ('torchvision::nms is missing', 'pip install --force-reinstall torch==2.14.1 torchvision==0.29.1')
PROBLEMS = {
    'upstream mmengine, torch that loads weights only': (
        upstream(torch='2.6.0+cu124', torchvision='0.21.0+cu124'),
        *('upstream mmengine 0.10.7 cannot resume its own checkpoints on torch 2.6.0', 'pip uninstall -y mmengine'),
    ),
    'CPU-only torch, torchvision from the registry': (forks(torch='2.14.1+cpu'), *NO_NMS),
    'the same, seen from the failing import': (
        Facts(versions=FORKS, failures=dict(torchvision='RuntimeError: operator torchvision::nms does not exist')),
        *NO_NMS,
    ),
    'torchvision of another torch': (forks(torchvision='0.28.0'), '0.28.0 was not made for', '"torchvision==0.29.*"'),
    'both families': (BOTH, 'both installed (onedl-mmengine, mmengine, ', 'uninstall -y onedl-mmengine mmengine '),
    'a fork beside upstream packages': (
        upstream('mmdet', **{'onedl-mmdetection': '3.5.1'}),
        'both installed (mmengine, mmcv-lite, onedl-mmdetection, mmpretrain)',
        'pip uninstall -y mmengine mmcv-lite onedl-mmdetection mmpretrain',
    ),
    'mmcv too new for mmdet': (upstream('mmcv-lite', mmcv='2.2.0'), 'mmdet 3.3.0 refuses mmcv 2.2.0', LITE),
    'mmcv and mmcv-lite': (upstream(mmcv='2.1.0'), 'mmcv and mmcv-lite are both installed', LITE),
    'both families, and whatever else may follow from that': (
        Facts(versions=FORKS | {'mmengine': '0.10.7', 'mmcv': '2.2.0', 'mmdet': '3.3.0'}, ops='missing'),
        f'both installed ({ALL_OF_BOTH.replace(" ", ", ")})',
        f"pip uninstall -y {ALL_OF_BOTH} && pip install -e '.[mm]'",
    ),
    'no pkg_resources': (upstream(setuptools='82.0.0'), 'setuptools 82.0.0 does not have', '"setuptools<81"'),
    'no setuptools': (upstream('setuptools'), 'setuptools does not have', 'pip install "setuptools<81"'),
    'ops compiled for another torch': (
        Facts(versions=FORKS, ops='ImportError: undefined symbol: _ZN3c10'),
        'compiled ops of mmcv do not fit the installed torch (ImportError: undefined symbol',
        'MMCV_WITH_OPS=1 pip install --no-build-isolation',
    ),
    'packages missing': (forks('kornia', 'onedl-mmpretrain'), 'not installed: kornia, mmpretrain', "-e '.[mm]'"),
    'old torch': (forks(torch='2.3.1', torchvision='0.18.1'), 'torch 2.3.1 is older than 2.4', 'torch==2.14.1'),
    'old Python': (Facts(python=(3, 9, 1), versions=FORKS), 'Python is older than 3.10', 'python3.11 -m venv'),
    'version that cannot be read': (forks(torch=UNKNOWN), 'torch has no version: its installation', f'{REPLACE}torch'),
} | {
    f'import of {module} fails': (
        *(Facts(versions=FORKS, failures={module: error}), f'import {module} fails: {error}', f'{REPLACE}{package}'),
    )
    for module, error, package in (
        ('timm', 'SyntaxError: invalid syntax', 'timm==1.0.31'),
        ('mmcv', 'it ends Python by SIGSEGV', 'onedl-mmcv==2.3.6'),
        ('PIL', 'ImportError: _imaging', 'pillow==13.0.0'),
    )
}

NOTES = {
    'mmcv without compiled ops': (Facts(versions=FORKS, ops='missing'), 'stand-in', 'MMCV_WITH_OPS=1 pip install'),
    'no configs in the wheel': (Facts(versions=FORKS, mim_configs=False), "_base_ = 'mmdet::...' fails", 'git clone'),
    'no mmdet': (forks('onedl-mmdetection'), 'mmdet is not installed', 'pip install'),
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
    'mmpretrain missing': (upstream('mmpretrain'), "pip install -e '.[upstream]'"),
    'mmdet missing': (upstream('mmdet'), "pip install -e '.[upstream]'"),
    # The extra would install mmcv-lite over it.
    'mmdet missing beside mmcv': (upstream('mmcv-lite', 'mmdet', mmcv='2.1.0'), '-e . mmengine mmdet mmpretrain '),
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


def test_no_fork_is_installed_over_upstream():
    for facts, *_ in [*(PROBLEMS | NOTES | UPSTREAM_FACTS).values(), (Facts(versions=FORKS | UPSTREAM),)]:
        for finding in diagnose(facts):
            steps = finding.command.split(' && ')
            removed = steps.pop(0).split() if steps[0].startswith('pip uninstall -y ') else []
            if 'onedl' in ' '.join(steps) or '.[mm]' in ' '.join(steps):
                assert UPSTREAM_NAMES & set(facts.versions) <= set(removed), finding.command


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
