"""Who may import whom: rooms of the package, the OpenMMLab packages behind them, and what a bare import loads."""

import ast
import json
import os
import resource
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'flsl_mm'

ROOMS = {
    'utils': set(),
    'visualization': {'utils'},
    'models': {'utils'},
    'checkpoint': {'utils', 'models'},
    'datasets': {'utils'},
    'scenes': {'utils', 'datasets'},
    'evaluation': set(),
    'evaluation.features': {'utils', 'models', 'checkpoint', 'datasets'},
    'engine': {'utils', 'models', 'checkpoint', 'datasets', 'evaluation'},
    'detectron2': {'models', 'checkpoint', 'scenes'},
    'selfsup': {'models', 'datasets', 'engine'},
    'detection': {'utils', 'engine', 'scenes', 'datasets'},
    'segmentation': {'models', 'engine', 'scenes', 'datasets'},
    'uavdt': {'utils', 'datasets', 'visualization'},
    'vos': {'utils', 'models', 'checkpoint', 'datasets', 'engine', 'scenes'},
    '': {'utils', 'models', 'checkpoint'},
}
"""Rooms ('' is the package itself), and the rooms that each may import; ``commands`` may import all of them.

The room ``evaluation`` has two layers: pure figures, and what measures them with a model on data.
"""
FEATURES = ROOMS['evaluation.features']
ROOMS['evaluation.probes'] = FEATURES | {'evaluation', 'evaluation.features', 'scenes', 'visualization'}
ROOMS['commands'] = set(ROOMS)

OPENMMLAB = {
    '': {'mmengine'},
    'utils': {'mmengine', 'mmcv'},
    'datasets': {'mmengine'},
    'engine': {'mmengine'},
    'evaluation.probes': {'mmengine'},
    'selfsup': {'mmengine', 'mmpretrain'},
    'detection': {'mmengine', 'mmdet'},
    'segmentation': {'mmengine', 'mmseg'},
    'uavdt': {'mmengine'},
    'vos': {'mmengine'},
    'commands': {'mmengine'},
}
"""OpenMMLab packages that a room may import; the others import none."""

MOST_ENTRIES = 16
"""Files and folders in the package at most: a newcomer has to guess where a thing is."""

HEAVY = ('torch', 'timm', 'matplotlib', 'cv2', 'kornia', 'pycocotools')
HEAVY += ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmseg')
"""What ``import flsl_mm`` must not load."""


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package, that of the package itself for an ``__init__``."""
    parts = list(path.relative_to(PACKAGE.parent).with_suffix('').parts)
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(path: Path) -> set[str]:
    """List what a file imports anywhere in it, but for type checkers; names are absolute."""
    name = module_name(path)
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    found = set()
    skipped = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
            skipped.update(ast.walk(node))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parents = package.split('.')
                base = '.'.join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            found.update(f'{base}.{alias.name}' for alias in node.names)
    return found


def room_of(dotted: str) -> str:
    """Return the room of a module of the package, '' for the package itself."""
    parts = dotted.split('.')[1:]
    return next((room for room in ('.'.join(parts[:2]), '.'.join(parts[:1])) if room in ROOMS), '')


FILES = sorted(PACKAGE.rglob('*.py'))


def test_every_room_is_on_the_list():
    assert {room_of(module_name(path)) for path in FILES} == set(ROOMS)
    entries = {path.relative_to(PACKAGE).parts[0] for path in FILES}
    assert len(entries) <= MOST_ENTRIES


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_what_its_room_may(path):
    room = room_of(module_name(path))
    inside = {room_of(name) for name in imports(path) if name.split('.')[0] == 'flsl_mm'}
    assert inside - {room} <= ROOMS[room]
    outside = {name.split('.')[0] for name in imports(path)} & {'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmseg'}
    assert outside <= OPENMMLAB.get(room, set())


def test_rooms_form_no_circle():
    """Of what the files import, not of what the table allows."""
    used = {room: set() for room in ROOMS}
    for path in FILES:
        room = room_of(module_name(path))
        used[room] |= {room_of(name) for name in imports(path) if name.split('.')[0] == 'flsl_mm'} - {room}
    TopologicalSorter(used).prepare()  # a CycleError names the circle


def test_modules_form_no_circle():
    modules = {module_name(path): path for path in FILES if path.name != '__init__.py'}
    graph = {}
    for name, path in modules.items():
        targets = {target for found in imports(path) for target in (found, found.rpartition('.')[0])}
        graph[name] = targets & modules.keys() - {name}
    TopologicalSorter(graph).prepare()


def test_rooms_say_what_they_are():
    for path in PACKAGE.rglob('__init__.py'):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
        assert docstring, path
        if path.parent.parent == PACKAGE:
            assert 'import' in docstring.splitlines()[0], f'{path} does not say what it may import'


def run_python(*arguments: str) -> tuple[str, float]:
    """Run an interpreter from the repository; return what it printed and its seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_bare_import_stays_light():
    code = f'import json, sys, flsl_mm; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))'
    assert json.loads(run_python('-c', code)[0]) == []


TOOLS = sorted(path for path in (ROOT / 'tools').rglob('*.py') if '__main__' in path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: str(path.relative_to(ROOT / 'tools')))
def test_help_answers_at_once(tool):
    printed, seconds = run_python(str(tool), '--help')
    assert printed.startswith('usage:')
    assert seconds < 0.5
