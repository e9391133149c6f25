"""tools/export.py: the default name, the lines that it prints, what it refuses."""

import pytest
import torch

import flsl_mm
from flsl_mm.commands import export
from tests.builders.programs import refused


def test_beside_the_file_with_the_line_that_loads_it(file, tmp_path, capsys, fresh_logger):
    assert export.main([str(file), '--to', 'timm', '--size', '40x24']) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / 'ours_timm.safetensors') in said
    assert 'export with --size' in said
    assert said.count('backbone tensors from') == 1  # not of the check, from a passing folder
    scope = {}
    exec('\n'.join(line.strip() for line in said.splitlines() if line.startswith('  ')), scope)
    images = torch.rand(1, 3, 40, 24)
    model = flsl_mm.load_model(file)
    given = scope['model'].eval().forward_features(model.normalize(images)).unflatten(1, (5, 3))
    torch.testing.assert_close(given, model(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['ours.pth', '--out', 'ours.pth'], 'ours.pth exists: choose another name or give --force'),
        (['ours.pth', '--out', 'ours.pth/b.safetensors'], 'cannot write'),
        (['ours.pth', '--out', 'b.bin'], 'give it a name that ends in .safetensors'),
        (['typo/a.pth'], 'checkpoint typo/a.pth does not exist'),
    ],
)
def test_mistakes(file, tmp_path, capsys, options, line, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = file.read_bytes()
    assert line in refused(export.main, [*options, '--to', 'safetensors'], capsys)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {file: before}


@pytest.mark.parametrize('size', ['0x3', '3x', 'x', '12x12x12'])
def test_sizes_that_are_none(file, size, capsys):
    with pytest.raises(SystemExit):
        export.main([str(file), '--to', 'timm', '--size', size])
    assert 'not a height and width in pixels such as 480x640' in capsys.readouterr().err
