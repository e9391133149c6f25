"""Configs by name, and the command's list of programs, in a checkout and as a wheel has them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flsl_mm.commands import __main__ as command
from flsl_mm.commands import config_files as shipped

ROOT = Path(__file__).parents[2]
T16 = ROOT / 'configs' / 'pretrain' / 'flsl_vit-t16_scenes.py'


@pytest.mark.parametrize(
    'name',
    [
        'pretrain/flsl_vit-t16_scenes',
        'pretrain/flsl_vit-t16_scenes.py',
        'configs/pretrain/flsl_vit-t16_scenes.py',
        str(T16),
    ],
)
def test_a_config_is_found_by_name_from_any_folder(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped.find_config(name) == T16


def test_a_short_name_is_enough_where_one_config_has_it():
    assert shipped.find_config('flsl_vit-b16').parent.name == 'pretrain'
    with pytest.raises(FileNotFoundError, match=r"'flsl_vit-t16_scenes'.*pretrain/flsl_vit-t16_scenes"):
        shipped.find_config('flsl_vit-t16_scenes')  # pretrain/ and vos/


def test_a_file_of_ones_own_goes_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = Path('pretrain/flsl_vit-s16')
    own.parent.mkdir()
    own.touch()
    assert shipped.find_config('pretrain/flsl_vit-s16') == own


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
    assert [words[0] for words in listed][:3] == ['train', 'test', 'evaluate']
    assert {'convert', 'make-scenes', 'uavdt2coco', 'doctor'} <= {words[0] for words in listed}
    assert '  pretrain/flsl_vit-s16' in lines


def test_an_unknown_command_gets_a_suggestion(capsys):
    assert command.main(['tran', 'x']) == 2
    assert capsys.readouterr().err == "error: no command 'tran': did you mean train?\n"


def test_the_command_runs_a_program_with_its_options(tmp_path):
    """Under its own name, with a dash or an underscore, and with its exit code."""
    call = [sys.executable, '-m', 'flsl_mm.commands']
    done = subprocess.run([*call, 'make_scenes', '--help'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith('usage: flsl-mm make-scenes')
    done = subprocess.run([*call, 'train', 'nothing_like_it'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    hint = 'give the path of one, or one of those that flsl-mm lists'
    assert done.stderr == f"error: no config file 'nothing_like_it': {hint}\n"
    assert done.stdout == ''
