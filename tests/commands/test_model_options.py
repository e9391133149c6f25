"""What programs on a checkpoint share: checks before the work, one line for a mistake."""

import argparse
import os
import re

import pytest
import torch

from flsl_mm.commands import embed, evaluate, export, model_options, visualize
from tests.builders.checkpoints import timm_vit
from tests.builders.images import make_image
from tests.builders.programs import refused


def test_a_file_that_can_be_written_leaves_no_trace(tmp_path):
    model_options.check_writable(tmp_path / 'new/a.npz')
    assert list((tmp_path / 'new').iterdir()) == []
    (tmp_path / 'b').write_text('kept')
    model_options.check_writable(tmp_path / 'b')
    assert (tmp_path / 'b').read_text() == 'kept'
    with pytest.raises(OSError, match=r'^cannot write .*b/a\.npz: '):
        model_options.check_writable(tmp_path / 'b/a.npz')


def test_an_input_is_not_written(tmp_path):
    (tmp_path / 'model.pth').touch()
    (tmp_path / 'link.pth').symlink_to('model.pth')
    for given in (tmp_path / 'model.pth', f'timm:vit_tiny_patch16_224={tmp_path}/link.pth'):
        with pytest.raises(ValueError, match=r'model\.pth is to be written and is also read, as '):
            model_options.check_writable(tmp_path / 'model.pth', 'none', None, given)
    model_options.check_writable(tmp_path / 'new.json', tmp_path / 'model.pth')


def test_what_the_file_would_replace(tmp_path):
    (tmp_path / 'file.json').write_text('kept')
    for name, target in (('link.json', 'file.json'), ('dangling.json', 'nowhere')):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(ValueError, match=f'{name} is a link: remove it, or give the name of the file itself'):
            model_options.check_writable(tmp_path / name)
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(ValueError, match='pipe is not a regular file but a pipe or a device: give the name of a file'):
        model_options.check_writable(tmp_path / 'pipe')
    assert (tmp_path / 'file.json').read_text() == 'kept'
    assert not (tmp_path / 'nowhere').exists()


@pytest.mark.parametrize('text', ['0', '-1', '1.5', 'x', ''])
def test_numbers_above_0(text):
    with pytest.raises(argparse.ArgumentTypeError, match='integer above 0'):
        model_options.positive(text)


def test_numbers_and_devices():
    assert model_options.positive('12') == 12
    assert model_options.resolve_device('cpu') == 'cpu'
    assert model_options.resolve_device('auto') == ('cuda' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(ValueError, match='device cuda:77 cannot be used: '):
        model_options.resolve_device('cuda:77')


def test_skipped_images_are_listed_as_a_terminal_can_show_them(capsys):
    model_options.report_skipped({f'{number}\x1b.jpg': 'bad\nfile' for number in range(12)}, ' in x')
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == '12 images could not be used:'
    assert lines[1] == r'  0\x1b.jpg (bad\nfile)'
    assert lines[-1] == '  and 2 more in x'
    assert len(lines) == 12


def test_files_without_geometry_name_the_options(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(timm_vit(7).state_dict(), 'a.pth')
    os.mkdir('images')
    make_image().save('images/a.png')
    for main, options in (
        (embed.main, ['images', '--out', 'x.npz']),
        (export.main, ['--to', 'safetensors']),
        (evaluate.main, []),
        (visualize.main, ['images', '--out', 'out']),
    ):
        assert re.search('--arch.*--num-heads', refused(main, ['a.pth', *options], capsys))
    assert {path.name for path in tmp_path.iterdir()} <= {'a.pth', 'images', 'out'}
