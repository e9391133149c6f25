"""The program that shows what a model learned: every way to call it, and one line for a mistake."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from flsl_mm.commands import visualize
from flsl_mm.datasets.palette import write_palette_mask
from tests.builders.checkpoints import file_of, timm_vit, tiny
from tests.builders.programs import refused

pytestmark = pytest.mark.usefixtures('fresh_logger', 'here')
CPU = ('--device', 'cpu', '--long-side', 32)


def run(*arguments) -> int:
    return visualize.main([str(argument) for argument in (*arguments, *CPU)])


def page_of(out: Path) -> str:
    return (out / 'index.html').read_text(encoding='utf-8')


def test_a_folder_beside_random_weights(capsys):
    out = Path('out')
    assert run('ours.pth', 'in', 'in/a.png', '--out', out, '--show', 'object', 'clusters') == 0
    told = capsys.readouterr()
    assert '3 images: open out/index.html' in told.out
    assert '1 image could not be used:\n' in told.err
    assert 'bad.jpg (no image of a kind' in told.err
    page = page_of(out)
    assert page.count('<img') == 3 * (2 + 2 * 2)
    assert page.index('a.png') < page.index('b.png') < page.index('c.png')
    assert 'ours: 16 channels, 2 blocks, patches of 8 pixels' in page
    assert 'random weights: 16 channels' in page
    assert run('ours.pth', 'in', '--out', out, '--show', 'colors') == 0  # its own page may be replaced
    assert page_of(out).count('<section') == 3


def test_another_file_beside_it(tmp_path):
    (tmp_path / 'other').mkdir()
    torch.save(file_of(tiny(5, patch_size=16)), 'other/ours.pth')
    files = (tmp_path / 'ours.pth', 'in/a.png', '--against', tmp_path / 'other/ours.pth')
    assert run(*files, '--point', '3,4', '--point', '39,31', '--out', tmp_path / 'out') == 0
    page = page_of(tmp_path / 'out')
    assert f'{tmp_path.name}/ours.pth: 16 channels' in page
    assert f'other/ours.pth: 16 channels, 2 blocks, patches of 16 pixels; {files[-1]}' in page
    assert 'random weights' not in page
    assert page.count('<img') == 1 + 2 * 5


def test_a_video():
    Path('in/bad.jpg').unlink()
    ids = np.zeros((32, 40), np.uint8)
    ids[8:24, 8:24] = 1
    write_palette_mask(Path('mask.png'), ids)
    assert run('ours.pth', 'in', '--mask', 'mask.png', '--out', 'out') == 0
    assert {path.name for path in Path('out').iterdir()} == {'index.html', 'masks', 'ours.gif', 'random-weights.gif'}


def test_a_file_that_does_not_say():
    torch.save(timm_vit(7).state_dict(), 'timm.pth')
    assert run('timm.pth', 'in', '--out', 'out', '--num-heads', 2, '--patch-size', 8, '--show', 'colors') == 0


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (('ours.pth', 'in', '--out', 'ours.pth'), 'is a file: name a folder with --out'),
        (('no.pth', 'in', '--out', 'ours.pth/x'), 'the output folder .*x cannot be written: '),  # said first
        (('no.pth', 'in', '--out', 'out'), 'no.pth'),
        (('ours.pth', 'in/no.png', '--out', 'out'), 'no image or folder'),
        (('ours.pth', 'out', '--out', 'out'), 'no image .* in the folder'),
        (('ours.pth', 'in', '--out', 'out', '--against', 'ours.pth'), 'is the file itself'),
        (('ours.pth', 'in', '--out', 'out', '--point', '40,0'), 'none of the 4 images can be shown, '),
        (('no.pth', 'in', '--out', 'out', '--mask', 'in/no.png'), 'no mask'),
        (('ours.pth', 'in', '--out', 'out', '--mask', 'ours.pth'), 'ours.pth cannot be read'),
        (('ours.pth', 'in', '--out', 'out', '--device', 'cuda:77'), 'device cuda:77 cannot be used'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, line, capsys):
    assert re.search(line, refused(visualize.main, [*CPU, *arguments], capsys, alone=False))


@pytest.mark.parametrize('wrong', ['--point=3', '--point=-1,2', '--point=a,b', '--scales=0', '--scales=x', '--show=no'])
def test_options_that_cannot_be_read(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        run('FILE', 'IN', '--out', 'OUT', wrong)
    assert stop.value.code == 2
    assert wrong.partition('=')[0] in capsys.readouterr().err
