"""tools/export.py: the default name, the lines that it prints, what it refuses."""

import pytest
import torch

import flsl_mm
from flsl_mm.commands import export


def test_beside_the_file_with_the_line_that_loads_it(file, tmp_path, capsys):
    assert export.main([str(file), '--to', 'timm', '--size', '40x24']) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / 'ours_timm.safetensors') in said
    assert 'export with --size' in said
    scope = {}
    exec('\n'.join(line.strip() for line in said.splitlines() if line.startswith('  ')), scope)
    images = torch.rand(1, 3, 40, 24)
    model = flsl_mm.load_model(file)
    given = scope['model'].eval().forward_features(model.normalize(images)).unflatten(1, (5, 3))
    torch.testing.assert_close(given, model(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--out', '{}/ours.pth'], 'ours.pth exists: choose another name or give --force'),
        (['--out', '{}/ours.pth/b.safetensors'], 'cannot write'),
        (['--out', '{}/b.bin'], 'give it a name that ends in .safetensors'),
    ],
)
def test_mistakes(file, tmp_path, capsys, options, line):
    before = file.read_bytes()
    assert export.main([str(file), '--to', 'safetensors', *(option.format(tmp_path) for option in options)]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count('\n') == 1
    assert file.read_bytes() == before


def test_a_missing_file_leaves_no_folder(tmp_path, capsys):
    assert export.main([str(tmp_path / 'typo/a.pth'), '--to', 'safetensors']) == 2
    assert capsys.readouterr().err == f'error: checkpoint {tmp_path / "typo/a.pth"} does not exist\n'
    assert list(tmp_path.iterdir()) == []


def test_what_was_loaded_is_said_once(file, tmp_path, capsys, fresh_logger):
    assert export.main([str(file), '--to', 'safetensors']) == 0
    assert capsys.readouterr().out.count('backbone tensors from') == 1  # not of the check, from a passing folder


@pytest.mark.parametrize('size', ['0x3', '3x', 'x', '12x12x12'])
def test_sizes_that_are_none(file, size, capsys):
    with pytest.raises(SystemExit):
        export.main([str(file), '--to', 'timm', '--size', size])
    assert 'not a height and width in pixels such as 480x640' in capsys.readouterr().err
