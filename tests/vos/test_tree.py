"""Files of a DAVIS tree: sizes, lists, numbers of frames, and masks of every kind."""

import numpy as np
import pytest
from PIL import Image

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.vos.tree import find_video, input_size, read_frame, read_object_ids, read_video_names
from tests.builders.davis_tree import moving_squares, write_video


@pytest.mark.parametrize(
    ('size_hw', 'short_side', 'expected'),
    [
        ((480, 854), 480, (480, 832)),
        ((480, 910), 480, (480, 896)),
        ((1080, 1920), 480, (480, 832)),
        ((854, 480), 480, (832, 480)),
        ((480, 480), 480, (480, 448)),
        ((240, 432), 240, (240, 384)),
    ],
)
def test_input_size(size_hw, short_side, expected):
    assert input_size(size_hw, short_side) == expected


def test_masks_of_objects(tmp_path):
    path, mask = tmp_path / '00001.png', np.array([[0, 1, 2]], np.uint8)
    Image.fromarray(np.repeat(255 * (mask > 0)[..., None], 3, axis=2).astype(np.uint8)).save(path)
    assert read_object_ids(path, single_object=True).tolist() == [[0, 1, 1]]
    for write in (write_palette_mask, lambda path, mask: Image.fromarray(mask).save(path)):
        write(path, mask)
        assert read_object_ids(path, single_object=True).tolist() == [[0, 1, 1]]
        assert read_object_ids(path, single_object=False).tolist() == [[0, 1, 2]]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r'00001.png cannot be read'):
        read_object_ids(path, single_object=False)


def test_lists(tmp_path):
    path = tmp_path / 'val.txt'
    with pytest.raises(FileNotFoundError, match=r'no list of videos at .*val.txt'):
        read_video_names(path)
    path.write_text('\n')
    with pytest.raises(ValueError, match='is empty: it names no video'):
        read_video_names(path)
    frame = '/JPEGImages/480p/my other/{0}.jpg /Annotations/480p/my other/{0}.png\n'
    path.write_text(f'my video\n\n{frame.format("00000")}{frame.format("00001")}')
    assert read_video_names(path) == ['my video', 'my other']


def test_numbers_need_not_start_at_zero(tmp_path):
    write_video(tmp_path, 'one', moving_squares(4, (1,)))
    frames, masks = (tmp_path / kind / '480p' / 'one' for kind in ('JPEGImages', 'Annotations'))
    for path in (*frames.iterdir(), *masks.iterdir()):
        path.rename(path.with_stem(f'{int(path.stem) + 100:05d}'))
    video = find_video('one', frames, masks)
    for files in (video.frames, video.masks):
        assert [path.stem for path in files] == ['00100', '00101', '00102', '00103']
    assert video.size_hw == (64, 128)


def test_frames_are_resized_without_antialiasing(tmp_path):
    """A quarter of the width takes the mean of the two middle pixels of each four."""
    row = np.array([0, 100, 0, 0, 200, 0, 40, 0], np.uint8)
    Image.fromarray(np.repeat(np.tile(row, (8, 1))[..., None], 3, axis=2)).save(tmp_path / 'f.png')
    assert read_frame(tmp_path / 'f.png', (8, 2))[0, :, 0].tolist() == [50, 20]
