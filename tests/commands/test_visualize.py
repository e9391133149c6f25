"""The program that shows what a model learned: every way to call it, and one line for a mistake."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from flsl_mm.commands import visualize
from flsl_mm.datasets.palette import write_palette_mask
from tests.builders.checkpoints import file_of, timm_vit, tiny
from tests.builders.images import make_image

pytestmark = pytest.mark.usefixtures('fresh_logger')


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / 'in/deep').mkdir(parents=True)
    for name in ('b.png', 'a.png', 'deep/c.png'):
        make_image(40, 32).save(tmp_path / 'in' / name)
    (tmp_path / 'in/notes.txt').write_text('no image')
    return tmp_path / 'in'


def run(*arguments) -> int:
    return visualize.main([str(argument) for argument in (*arguments, '--device', 'cpu', '--long-side', 32)])


def page_of(out: Path) -> str:
    return (out / 'index.html').read_text(encoding='utf-8')


def test_a_folder_beside_random_weights(file, folder, tmp_path, capsys):
    (folder / 'bad.jpg').write_bytes(b'no image')
    assert run(file, folder, folder / 'a.png', '--out', tmp_path / 'out', '--show', 'object', 'clusters') == 0
    told = capsys.readouterr()
    assert f'3 images: open {tmp_path / "out/index.html"}' in told.out
    assert '1 images could not be used:\n' in told.err
    assert 'bad.jpg (no image of a kind' in told.err
    page = page_of(tmp_path / 'out')
    assert page.count('<img') == 3 * (2 + 2 * 2)
    assert page.index('a.png') < page.index('b.png') < page.index('c.png')
    assert 'ours: 16 channels, 2 blocks, patches of 8 pixels' in page
    assert 'random weights: 16 channels' in page
    assert run(file, folder, '--out', tmp_path / 'out', '--show', 'colors') == 0  # its own page may be replaced
    assert page_of(tmp_path / 'out').count('<section') == 3


def test_another_file_beside_it(file, folder, tmp_path):
    (tmp_path / 'other').mkdir()
    torch.save(file_of(tiny(5, patch_size=16)), tmp_path / 'other/ours.pth')
    image, other = folder / 'a.png', tmp_path / 'other/ours.pth'
    assert run(file, image, '--against', other, '--point', '3,4', '--point', '39,31', '--out', tmp_path / 'out') == 0
    page = page_of(tmp_path / 'out')
    assert f'{tmp_path.name}/ours.pth: 16 channels' in page
    assert f'other/ours.pth: 16 channels, 2 blocks, patches of 16 pixels; {other}' in page
    assert 'random weights' not in page
    assert page.count('<img') == 1 + 2 * 5


def test_a_video(file, folder, tmp_path):
    ids = np.zeros((32, 40), np.uint8)
    ids[8:24, 8:24] = 1
    write_palette_mask(tmp_path / 'mask.png', ids)
    assert run(file, folder, '--mask', tmp_path / 'mask.png', '--out', tmp_path / 'out') == 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'index.html', 'masks', 'ours.gif', 'random-weights.gif'
    }  # fmt: skip


def test_a_file_that_does_not_say(folder, tmp_path, capsys):
    torch.save(timm_vit(7).state_dict(), tmp_path / 'timm.pth')
    assert run(tmp_path / 'timm.pth', folder, '--out', tmp_path / 'out') == 2
    assert 'tools: --arch, --num-heads' in capsys.readouterr().err
    given = ('--num-heads', 2, '--patch-size', 8, '--show', 'colors')
    assert run(tmp_path / 'timm.pth', folder, '--out', tmp_path / 'out', *given) == 0


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (('FILE', 'IN', '--out', 'FILE'), 'is a file: name a folder with --out'),
        (('no.pth', 'IN', '--out', 'FILE/x'), 'error: the output folder .*x cannot be written: '),  # said first
        (('no.pth', 'IN', '--out', 'OUT'), 'no.pth'),
        (('FILE', 'IN/no.png', '--out', 'OUT'), 'no image or folder'),
        (('FILE', 'OUT', '--out', 'OUT'), 'no image .* in the folder'),
        (('FILE', 'IN', '--out', 'OUT', '--against', 'FILE'), 'is the file itself'),
        (('FILE', 'IN', '--out', 'OUT', '--point', '40,0'), 'none of the 3 images can be shown, .*40,0 is outside'),
        (('no.pth', 'IN', '--out', 'OUT', '--mask', 'IN/no.png'), 'no mask'),
        (('FILE', 'IN', '--out', 'OUT', '--mask', 'FILE'), 'ours.pth cannot be read'),
        (('FILE', 'IN', '--out', 'OUT', '--device', 'cuda:77'), 'device cuda:77 cannot be used'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, line, file, folder, tmp_path, capsys):
    names = {'FILE': file, 'IN': folder, 'OUT': tmp_path / 'out'}
    given = [str(argument) for argument in arguments]
    for name, path in names.items():
        given = [argument.replace(name, str(path)) for argument in given]
    code = visualize.main([*given, '--long-side', '16'] + ([] if '--device' in given else ['--device', 'cpu']))
    told = capsys.readouterr().err
    assert code == 2
    (error,) = [each for each in told.splitlines() if each.startswith('error: ')]
    assert re.search(line, error)


@pytest.mark.parametrize('wrong', ['--point=3', '--point=-1,2', '--point=a,b', '--scales=0', '--scales=x', '--show=no'])
def test_options_that_cannot_be_read(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        run('FILE', 'IN', '--out', 'OUT', wrong)
    assert stop.value.code == 2
    assert wrong.partition('=')[0] in capsys.readouterr().err
