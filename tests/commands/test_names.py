"""Names tell files apart, wherever they stand."""

from argparse import Namespace
from pathlib import Path

import pytest

from flsl_mm.commands import evidence
from flsl_mm.commands.names import distinct_names, numbered_if_alike, safe_name
from flsl_mm.evaluation.probes.table import NO_MODELS


@pytest.mark.parametrize(
    ('paths', 'expected'),
    [
        (['/r/A/x.pth', '/r/B/y.pth'], ['x', 'y']),
        (['/r/A/x.pth', '/r/B/x.pth'], ['A/x.pth', 'B/x.pth']),
        (['/r/x.pth', '/r/x.ckpt'], ['x.pth', 'x.ckpt']),
        (['/r/x.pth', '/r/x.ckpt', '/r/x.pth.pt'], ['r/x.pth', 'x.ckpt', 'x.pth.pt']),
        (['/x.pth', '/A/x.pth'], ['//x.pth', 'A/x.pth']),
    ],
)
def test_names_are_as_long_as_they_have_to_be(paths, expected):
    found = distinct_names([Path(path).stem for path in paths], paths)
    assert [name.replace('//', '/') for name in found] == [name.replace('//', '/') for name in expected]
    # A name that something else has.
    assert distinct_names(['chance'], ['/r/chance.pth'], NO_MODELS) == ['chance.pth']
    with pytest.raises(ValueError, match='named twice'):
        distinct_names(['x', 'x'], ['a/x', 'a/x'])
    # Runs of a comparison.
    args = Namespace(out=Path('out'), configs=[Path('/r/A/x.py'), Path('/r/B/x.py')])
    assert len({evidence.run_folder(args, config, 0) for config in args.configs}) == 2


def test_names_of_files():
    assert safe_name('../a b<>".tar') == 'a-b-tar'
    assert safe_name('ü') == 'image'
    assert len(safe_name('x' * 200)) == 40
    assert numbered_if_alike(['a', 'b']) == ['a', 'b']
    assert numbered_if_alike(['a', 'B', 'A']) == ['1-a', '2-B', '3-A']
