"""Masks over frames, as strips and animations."""

import numpy as np
from PIL import Image

from flsl_mm.vos.drawing import paint_objects, write_gif, write_strip
from tests.builders.davis_tree import COLORS, moving_squares


def test_objects_are_painted_with_contours():
    frame = np.full((8, 8, 3), 100, np.uint8)
    ids = np.zeros((4, 4), np.uint8)
    ids[1:3, 1:3] = 1  # pixels 2 to 5 of the frame
    painted = paint_objects(frame, ids)
    assert painted[7, 7].tolist() == [100, 100, 100]
    assert painted[3, 3].tolist() == [114, 50, 50]
    assert painted[1, 3].tolist() == painted[5, 3].tolist() == [255, 255, 255]
    assert (frame == 100).all()


def test_strip_and_gif(tmp_path):
    masks = moving_squares(9, (1, 2))
    for number, size in ((9, (6 * 320, 160)), (3, (3 * 320, 160))):
        write_strip(tmp_path / 'v.png', COLORS[masks[:number]], masks[:number])
        with Image.open(tmp_path / 'v.png') as image:
            assert image.size == size
    write_gif(tmp_path / 'v.gif', COLORS[masks], masks)
    with Image.open(tmp_path / 'v.gif') as image:
        assert (image.n_frames, image.size) == (9, (128, 64))
    assert {path.name for path in tmp_path.iterdir()} == {'v.gif', 'v.png'}
