"""Windows of the sine-cosine plane: by hand, and how they are drawn."""

import math

import pytest
import torch

from flsl_mm.models.pos_embed import sincos_pos_embed
from flsl_mm.models.position_jitter import PositionJitter, window_pos_embed


def test_the_window_at_the_beginning_is_the_fixed_table():
    windows = torch.tensor([[0.0, 0.0, 1.0]]).repeat(2, 1)
    tables = window_pos_embed(windows, 16, (3, 5))
    torch.testing.assert_close(tables, sincos_pos_embed(16, (3, 5)).expand(2, -1, -1), rtol=0, atol=1e-6)


def test_shifted_and_stretched_by_hand():
    """Four channels have one wavelength: sin x, cos x, sin y, cos y."""
    (table,) = window_pos_embed(torch.tensor([[-2.0, 5.0, 0.5]]), 4, (2, 3))
    places = [(y, x) for y in (-2.0, -1.5) for x in (5.0, 5.5, 6.0)]
    expected = [[math.sin(x), math.cos(x), math.sin(y), math.cos(y)] for y, x in places]
    torch.testing.assert_close(table, torch.tensor(expected))


def test_windows_are_drawn_around_the_fixed_one():
    torch.manual_seed(0)
    windows = PositionJitter(range=24, zoom=1.5).draw(4000)
    begin, zoom = windows[:, :2], windows[:, 2]
    assert begin.min() >= -12
    assert begin.max() <= 12
    assert begin.mean(0).abs().max() < 0.5
    torch.testing.assert_close(begin.std(0), torch.full((2,), 24 / 12**0.5), rtol=0.05, atol=0)
    assert 1 / 1.5 <= zoom.min() < 0.68 < 1.48 < zoom.max() <= 1.5
    assert zoom.log().mean().abs() < 0.02
    assert torch.corrcoef(windows.T)[0, 1].abs() < 0.05
    assert torch.equal(PositionJitter(0, 1).draw(2), torch.tensor([[0.0, 0.0, 1.0]] * 2))


@pytest.mark.parametrize('options', [dict(range=-1), dict(zoom=0.5), dict(zoom=float('nan')), dict(range=math.inf)])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match='range must be 0 or more and zoom 1 or more'):
        PositionJitter(**options)
