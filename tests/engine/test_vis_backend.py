"""scalars.json is JSON, whatever is logged."""

import json

from flsl_mm.engine import FLSLVisBackend


def refuse(name):
    raise ValueError(name)


def test_numbers_that_json_does_not_know_are_null(tmp_path):
    backend = FLSLVisBackend(str(tmp_path))
    backend.add_scalars(dict(loss=float('nan'), rate=float('inf'), best=0.5, epoch=2), step=7)
    backend.add_scalar('loss', float('-inf'), step=8)
    rows = [json.loads(line, parse_constant=refuse) for line in (tmp_path / 'scalars.json').read_text().splitlines()]
    assert rows == [dict(loss=None, rate=None, best=0.5, epoch=2, step=7), dict(loss=None, step=8)]
