"""Masks with any bytes in them are read, or refused with a line that names the file."""

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.vos.tree import read_object_ids, read_video_names

FUZZ = settings(max_examples=int(os.environ.get('FLSL_FUZZ', 150)), deadline=None)


@FUZZ
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6), kept=st.floats(0.1, 1))
def test_palette_masks(changes, kept, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / '00000.png'
    write_palette_mask(path, np.arange(48, dtype=np.uint8).reshape(6, 8))
    content = bytearray(path.read_bytes())
    for share, byte in changes:
        content[int(share * (len(content) - 1))] = byte
    path.write_bytes(content[: int(kept * len(content))])
    line = ''
    try:
        assert read_object_ids(path, single_object=False).dtype == np.uint8
    except ValueError as error:
        line = str(error)
    assert not line or (path.name in line and '\n' not in line), line


@FUZZ
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode('utf-8', 'replace')))
def test_lists_of_videos(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / 'val.txt'
    path.write_bytes(content)
    line = ''
    try:
        assert all(read_video_names(path))
    except ValueError as error:
        line = str(error)
    assert not line or path.name in line, line
