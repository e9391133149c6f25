"""The stand-in for ``mmcv._ext`` appears only where nothing else does, warns once and names what it lacks."""

import importlib.util
import subprocess
import sys
import textwrap
from importlib.machinery import PathFinder

import pytest

from flsl_mm.utils.compat import StandInFinder, install
from flsl_mm.utils.compat.__main__ import main as run_program


def run_python(code: str, *path: str) -> subprocess.CompletedProcess:
    code = f'import sys; sys.path[:0] = {list(map(str, path))!r}\n' + textwrap.dedent(code)
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)


@pytest.fixture
def stand_in():
    module = importlib.util.module_from_spec(StandInFinder().find_spec('mmcv._ext'))
    with pytest.warns(RuntimeWarning, match='without compiled ops.*flsl-mm doctor') as caught:
        module.__spec__.loader.exec_module(module)
    assert len(caught) == 1
    return module


def test_the_stand_in_looks_like_a_module_and_names_what_it_lacks(stand_in):
    assert hasattr(stand_in, 'softnms')
    with pytest.raises(NotImplementedError, match=r"'softnms'.*compiled ops"):
        stand_in.softnms(1, offset=2)
    assert stand_in.__spec__.name == 'mmcv._ext'
    assert not hasattr(stand_in, '__path__')
    assert stand_in.nms.__module__ == 'flsl_mm.utils.compat.ops'


def test_finder_answers_for_one_name_and_is_installed_once_after_the_ordinary_ones():
    assert StandInFinder().find_spec('mmcv._extra') is None
    before = list(sys.meta_path)
    try:
        install()
        install()
        places = [place for place, finder in enumerate(sys.meta_path) if isinstance(finder, StandInFinder)]
        assert len(places) == 1
        assert places[0] > sys.meta_path.index(PathFinder)
    finally:
        sys.meta_path[:] = before


def test_a_compiled_extension_wins(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').touch()
    (tmp_path / 'mmcv' / '_ext.py').write_text('compiled = True')
    code = f"""
        from importlib import import_module, util
        spec = util.spec_from_file_location('finder', {sys.modules[StandInFinder.__module__].__file__!r})
        finder = util.module_from_spec(spec)
        spec.loader.exec_module(finder)
        finder.install()
        print(import_module('mmcv._ext').compiled)
    """
    result = run_python(code, tmp_path)
    assert (result.stdout.strip(), result.stderr) == ('True', '')


def test_importing_the_package_is_enough_for_mmdet_and_imports_nothing_of_it():
    pytest.importorskip('mmdet')
    result = run_python("""
        import flsl_mm
        print([name for name in ('mmcv', 'mmdet', 'mmpretrain') if name in sys.modules])
        import mmdet.models
        import mmcv._ext, torch
        from mmcv.ops import nms
        print(nms(torch.tensor([[0., 0., 2., 2.]]), torch.tensor([1.]), 0.5)[1].tolist())
        print(int(mmcv._ext.__spec__.origin == 'flsl_mm.utils.compat'))
    """)
    assert result.returncode == 0, result.stderr
    imported, kept, stood_in = result.stdout.splitlines()
    assert (imported, kept) == ('[]', '[0]')
    assert result.stderr.count('mmcv was installed without compiled ops') == int(stood_in)


def test_programs_run_with_the_stand_in_installed(tmp_path, monkeypatch, capsys):
    program = tmp_path / 'program.py'
    program.write_text('import sys\nprint(sys.argv[1:], __name__, type(sys.meta_path[-1]).__name__)')
    monkeypatch.setattr(sys, 'argv', ['compat', str(program), '--flag', 'value'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr(sys, 'meta_path', [f for f in sys.meta_path if not isinstance(f, StandInFinder)])
    run_program()
    assert capsys.readouterr().out == "['--flag', 'value'] __main__ StandInFinder\n"


@pytest.mark.parametrize(
    ('arguments', 'code'), [([], 2), (['--help'], 0), (['missing.py'], "error: no program 'missing.py'")]
)
def test_program_to_run_must_be_named(arguments, code, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['compat', *arguments])
    with pytest.raises(SystemExit) as exit:
        run_program()
    assert exit.value.code == code
