"""The benchmark of label propagation."""

import json

import pytest
import torch
import vos

from flsl_mm.models import FLSLViT
from tests.builders.benchmarks import give_durations

TINY = ['--arch', 'tiny', '--height', '64', '--width', '96', '--objects', '2', '--device', 'cpu', '--repeats', '3']


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_ratios_are_those_of_given_durations(monkeypatch, capsys, tmp_path, dtype):
    seen = set()
    forward = FLSLViT.forward

    def record(self, images):
        seen.add((tuple(images.shape), torch.is_autocast_enabled('cpu')))
        return forward(self, images)

    monkeypatch.setattr(FLSLViT, 'forward', record)
    durations = dict(frame=[0.5, 0.2, 0.6], backbone=[0.25, 0.2, 0.2])
    asked = give_durations(monkeypatch, **durations)
    assert vos.main([*TINY, '--dtype', dtype, '--out', str(tmp_path / 'vos.json')]) == 0
    numbers = json.loads((tmp_path / 'vos.json').read_text())
    assert numbers['seconds'] == durations
    assert (numbers['frame_seconds'], numbers['backbone_seconds'], numbers['frames_per_second']) == (0.5, 0.2, 2)
    assert numbers['ratio'] == 2  # of 2, 1 and 3
    printed = [*map(str.split, capsys.readouterr().out.splitlines())]
    assert ['a', 'frame', '500.0', 'ms', 'bare', 'backbone', '200.0', 'ms', '2.00'] in printed
    assert ['frames/s', '2.00', '5.00'] in printed
    # Both see frames of one size in one precision.
    assert seen == {((1, 3, 64, 96), dtype == 'bfloat16')}
    # Frames count once the first one and all seven earlier ones are context; a step gives the frame's mask.
    assert (asked['repeats'], asked['warmup']) == (3, 7)
    mask = asked['results']['frame']
    assert mask.shape == (64, 96)
    assert set(mask.ravel()) <= {0, 1, 2}
    with pytest.raises(StopIteration):
        asked['works']['frame']()


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--width', '90'], '90x64 is not a multiple of --patch-size 16'),
        (['--repeats', '0'], '--repeats must be at least 1, got 0'),
        (['--arch', 'huge'], "unknown arch 'huge'"),
    ],
)
def test_mistakes(capsys, arguments, line):
    assert vos.main([*TINY, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert line in error
