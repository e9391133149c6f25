"""Configs by name, and the command's list of programs, in a checkout and as a wheel has them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flsl_mm.commands import __main__ as command
from flsl_mm.commands import config_files as shipped
from flsl_mm.commands import train
from flsl_mm.commands.quiet import read_config_quietly
from tests.builders.programs import refused

ROOT = Path(__file__).parents[2]
T16 = ROOT / 'configs' / 'pretrain' / 'flsl_vit-t16_scenes.py'


NAME = 'pretrain/flsl_vit-t16_scenes'


def test_a_config_is_found_by_name_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (NAME, f'{NAME}.py', f'configs/{NAME}.py', str(T16)):
        assert shipped.find_config(name) == T16
    # A short name is enough where one config has it.
    assert shipped.find_config('flsl_vit-b16').parent.name == 'pretrain'
    with pytest.raises(FileNotFoundError, match=rf"'flsl_vit-t16_scenes'.*{NAME}"):  # pretrain/ and vos/
        shipped.find_config('flsl_vit-t16_scenes')
    # A file of one's own goes first.
    Path('pretrain').mkdir()
    Path(NAME).touch()
    assert shipped.find_config(NAME) == Path(NAME)


def test_a_misspelt_config_gets_suggestions():
    with pytest.raises(FileNotFoundError, match=r"no config file 'flsl_vit_s16': did you mean .*flsl_vit-s16"):
        shipped.find_config('flsl_vit_s16')
    with pytest.raises(FileNotFoundError) as raised:
        shipped.find_config('mask_rcnn_flsl_vit_t16_scen')
    assert str(raised.value).count('mask_rcnn_flsl_vit_t16_scenes') == 1  # not once more without its folder
    assert not any('_base_' in name for name in shipped.config_names())


def test_in_a_wheel_configs_lie_inside_the_package(monkeypatch, tmp_path):
    package = tmp_path / 'site-packages' / 'flsl_mm'
    shutil.copytree(ROOT / 'configs', package / '.mim' / 'configs')
    monkeypatch.setattr(shipped, 'PACKAGE', package)
    assert shipped.find_config('pretrain/flsl_vit-s16') == package / '.mim' / 'configs' / 'pretrain' / 'flsl_vit-s16.py'


def test_every_program_is_a_command_with_a_description(capsys):
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split() for line in lines[lines.index('commands:') + 1 : lines.index('', 3)]]
    for path in (ROOT / 'tools').glob('[!_]*.py'):
        assert any(words[0] == path.stem.replace('_', '-') and len(words) > 3 for words in listed), path
    assert [words[0] for words in listed][:4] == ['train', 'test', 'predict', 'evaluate']
    assert {'convert', 'make-scenes', 'uavdt2coco', 'doctor'} <= {words[0] for words in listed}
    assert '  pretrain/flsl_vit-s16' in lines
    assert refused(command.main, ['tran', 'x'], capsys) == "no command 'tran': did you mean train?"


def test_the_command_runs_a_program_with_its_options():
    """Under its own name, with a dash or an underscore, and with its exit code."""
    call = [sys.executable, '-m', 'flsl_mm.commands']
    done = subprocess.run([*call, 'make_scenes', '--help'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith('usage: flsl-mm make-scenes')
    done = subprocess.run([*call, 'train', 'nothing_like_it'], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.startswith("error: no config file 'nothing_like_it': give the path")
    assert done.stderr.count('\n') == 1


@pytest.fixture
def path_of_modules(monkeypatch):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def config_with_imports(folder: Path, *names: str, **modules: str) -> Path:
    """Write a config and modules beside it; returns the config."""
    folder.mkdir(exist_ok=True)
    for name, source in modules.items():
        (folder / f'{name}.py').write_text(source)
    path = folder / 'config.py'
    path.write_text(f'custom_imports = dict(imports={list(names)}, allow_failed_imports=False)\n')
    return path


def test_modules_beside_a_config_are_found(tmp_path, path_of_modules):
    path = config_with_imports(tmp_path / 'mine', 'json', 'my_module_beside', my_module_beside='VALUE = 3')
    cfg = read_config_quietly(str(path))
    assert sys.modules['my_module_beside'].VALUE == 3
    assert sys.path[-1] == cfg.module_folder == str(tmp_path / 'mine')
    # The copy in a work folder finds them where they were.
    del sys.modules['my_module_beside'], sys.path[-1]
    cfg.dump(tmp_path / 'copy.py')
    assert read_config_quietly(str(tmp_path / 'copy.py')).module_folder == cfg.module_folder
    assert 'my_module_beside' in sys.modules


def test_configs_that_need_no_module_beside_them_leave_the_path_alone(tmp_path, path_of_modules):
    before = list(sys.path)
    cfg = read_config_quietly(str(config_with_imports(tmp_path, 'json', unused='')))
    assert 'module_folder' not in cfg
    assert sys.path == before


@pytest.mark.parametrize(
    ('names', 'line'),
    [
        (['nowhere.part'], 'the module nowhere.part, which custom_imports of CONFIG names, is not found: put'),
        (['broken_beside'], "custom_imports of CONFIG names, cannot be imported: No module named 'nowhere'"),
    ],
)
def test_an_import_that_fails_names_the_module(names, line, tmp_path, path_of_modules, capsys):
    path = config_with_imports(tmp_path, *names, broken_beside='import nowhere')
    assert line.replace('CONFIG', str(path)) in refused(train.main, [path, '--work-dir', tmp_path / 'work'], capsys)


def test_closed_streams():
    program = (
        'import os, sys; from flsl_mm.commands.__main__ import main; main(["--version"]); main(["none"]); '
        'file = open(os.devnull, "wb"); os._exit(file.fileno())'
    )
    command = f"exec {sys.executable} -c '{program}' <&- >&- 2>&-"
    assert subprocess.run(command, shell=True).returncode > 2
