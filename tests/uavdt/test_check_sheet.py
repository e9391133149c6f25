"""The check sheet: boxes and ignore regions where they are, whatever the size and number of the frames."""

import numpy as np
import pytest

from flsl_mm.uavdt.check_sheet import COLORS, REGION_COLOR, choose_evenly, draw_frames, sample_frames
from flsl_mm.uavdt.convert import read_sequences
from flsl_mm.uavdt.layout import find_sequences
from flsl_mm.visualization.sheet import GAP, LINE_HEIGHT, MIN_WIDTH, NAME_HEIGHT
from tests.builders.uavdt_tree import write_sequence

BOXES = [(1, 7, 4, 5, 20, 10, 1, 4, 1), (1, 8, 30, 5, 9, 9, 2, 2, 3), (3, 7, 5, 6, 20, 10, 3, 1, 2)]
REGIONS = [(1, 1, 40, 30, 20, 10, 1, -1, -1), (2, 1, 41, 30, 20, 10, 1, -1, -1)]


def test_sheet_shows_boxes_and_regions_where_they_are(tmp_path):
    boxes = [(2, 1, 100, 50, 40, 30, 1, 1, 2)]
    write_sequence(tmp_path, 'M0101', boxes, [(2, 1, 200, 100, 60, 40)], frames=3, size=(320, 180))
    (frames,) = read_sequences(tmp_path, find_sequences(tmp_path), 1, 0)
    shown = sample_frames(tmp_path, frames)
    assert [frame.title for frame in shown] == [
        'train M0101 frame 1: 0 boxes, 0 ignored',
        'train M0101 frame 2: 1 boxes, 1 ignored',
        'train M0101 frame 3: 0 boxes, 0 ignored',
    ]
    sheet = np.asarray(draw_frames(shown, columns=3, tile_width=640))
    # The second tile starts after a gap, a tile and a gap; below the legend and the title.
    tile = sheet[NAME_HEIGHT + LINE_HEIGHT :, GAP + 640 + GAP :][:360, :640]
    assert tile[100, 240].tolist() == list(COLORS[1])
    assert tile[120, 201].tolist() != list(COLORS[1])
    assert tile[240, 460].tolist() != tile[240, 300].tolist() == [90, 90, 90]
    assert tile[200, 450].tolist() == list(REGION_COLOR)
    # Inside the region the image shows through.
    red, green, _ = tile[240, 460].tolist()
    assert 90 < red < 255
    assert 40 < green < 90


def test_the_legend_names_the_colors(tmp_path):
    write_sequence(tmp_path, 'M0101', [], frames=1)
    (frames,) = read_sequences(tmp_path, find_sequences(tmp_path), 1, 0)
    legend = np.asarray(draw_frames(sample_frames(tmp_path, frames)))[:NAME_HEIGHT]
    places = [np.flatnonzero((legend == color).all(axis=2).any(axis=0)) for color in (*COLORS, REGION_COLOR)]
    assert [len(place) for place in places] == [13] * 4
    for left, right in zip(places, [*places[1:], [legend.shape[1]]], strict=True):
        words = (legend[:, left[-1] + 1 : right[0]] < 128).all(axis=2)
        assert words.sum() > 20


def test_tiles_of_frames_of_any_size_and_a_broken_one(tmp_path):
    write_sequence(tmp_path, 'M0101', BOXES, REGIONS, frames=5)
    write_sequence(tmp_path, 'M0203', [], frames=1, size=(30, 60))
    sequences = read_sequences(tmp_path, find_sequences(tmp_path), 1, 0)
    shown = [frame for frames in sequences for frame in sample_frames(tmp_path, frames)]
    assert len(shown) == 4
    assert [frame.path.name[-5] for frame in choose_evenly(shown, 2)] == ['1', '1']
    assert draw_frames(shown, columns=3, tile_width=40).width == GAP + 3 * (MIN_WIDTH + GAP)
    content = shown[0].path.read_bytes()
    shown[0].path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r'img000001.jpg cannot be read'):
        draw_frames(shown)
