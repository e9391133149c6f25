"""Position tables: by hand and under resizing."""

import math

import pytest
import torch

from flsl_mm.models.pos_embed import resize_pos_embed, scale_of_sincos, sincos_pos_embed


def test_table_by_hand():
    table = sincos_pos_embed(8, (2, 3))[0].reshape(2, 3, 8)
    omega = (1.0, 1 / 100)  # 10000 ** -(0, 1/2)
    for y, x in ((0, 0), (0, 2), (1, 1)):
        expected = [f(axis * o) for axis in (x, y) for f in (math.sin, math.cos) for o in omega]
        torch.testing.assert_close(table[y, x], torch.tensor(expected))


def test_scaled_table_by_hand():
    table = sincos_pos_embed(8, (2, 3), scale=0.25)[0].reshape(2, 3, 8)
    expected = [f(axis * o * 0.25) for axis in (2, 1) for f in (math.sin, math.cos) for o in (1.0, 1 / 100)]
    torch.testing.assert_close(table[1, 2], torch.tensor(expected))
    assert (sincos_pos_embed(8, (2, 3), scale=0.0) == torch.tensor([0.0, 0, 1, 1] * 2)).all()


@pytest.mark.parametrize('scale', [0.0, 0.05, 0.1, 1.0, 1.5])
@pytest.mark.parametrize('grid_hw', [(2, 2), (12, 12)])
def test_scale_is_found_again_to_half_precision(scale, grid_hw):
    table = sincos_pos_embed(16, grid_hw, scale)
    assert scale_of_sincos(table, grid_hw) == scale_of_sincos(table.half(), grid_hw) == scale
    assert scale_of_sincos(table + 0.01, grid_hw) is None


@pytest.mark.parametrize('mode', ['offset', 'size'])
def test_resize_gives_the_wanted_grid(mode):
    table = torch.randn(1, 14 * 14, 4)
    assert resize_pos_embed(table, (14, 14), (14, 14), mode) is table
    for target in ((6, 6), (30, 52), (14, 13), (50, 84), (1, 1)):
        assert resize_pos_embed(table, (14, 14), target, mode).shape == (1, target[0] * target[1], 4)


def test_offset_shifts_samples_and_size_does_not():
    # On a ramp a sample's value is its position: (i + 0.5) / scale - 0.5, up to the kernel's ripple, which cancels.
    ramp = torch.arange(14.0).repeat(14).view(1, -1, 1)
    size, offset = (
        resize_pos_embed(ramp, (14, 14), (28, 28), mode)[0, 14 * 28 :, 0][8:20] for mode in ('size', 'offset')
    )
    i = torch.arange(8.0, 20.0)
    expected = (i + 0.5) / 2 - (i + 0.5) / (28.1 / 14)
    torch.testing.assert_close((size - offset).mean(), expected.mean(), atol=0, rtol=0.1)
    torch.testing.assert_close(size.mean(), ((i + 0.5) / 2 - 0.5).mean())


def test_unknown_mode():
    with pytest.raises(ValueError, match="'offset' or 'size'"):
        resize_pos_embed(torch.zeros(1, 4, 4), (2, 2), (3, 3), 'linear')
