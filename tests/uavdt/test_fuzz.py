"""Files of UAVDT with anything in them are read, or refused with one line that names the file."""

import json
import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.uavdt.annotations import read_attributes, read_boxes, read_regions
from flsl_mm.uavdt.convert import CocoSplitWriter
from flsl_mm.uavdt.layout import UAVDTFrames, UAVDTSequence
from flsl_mm.uavdt.truth import read_truth

FUZZ = settings(max_examples=int(os.environ.get('FLSL_FUZZ', 150)), deadline=None)
FIELD = st.sampled_from(['1', '0', '-5', '1.5', '1e400', 'nan', 'inf', '', ' 7 ', 'x', '9' * 30, '\x00', '1_0', '٣'])
LINE = st.lists(FIELD, max_size=11).map(','.join) | st.just('1,1,2,3,4,5,0,1,1') | st.text(max_size=20)
CONTENT = st.lists(LINE, max_size=6).map('\n'.join).map(lambda text: text.encode('utf-8', 'replace')) | st.binary()


def problem(read, path) -> str:
    """Say with which line a file was refused, '' if it was read."""
    try:
        table = read(path)
    except ValueError as error:
        return str(error)
    assert not isinstance(table, np.ndarray) or np.isfinite(table).all()
    return ''


@FUZZ
@given(content=CONTENT)
def test_lines(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / 'M0101_gt_whole.txt'
    path.write_bytes(content)
    for read in (read_boxes, read_regions, read_attributes):
        line = problem(read, path)
        assert not line or (path.name in line and line.isprintable()), line


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(['id', 'bbox', 'night']), inner),
    max_leaves=8,
)


def converted(path) -> dict:
    """Write the JSON of one frame with an object and a region; returns its content."""
    sequence = UAVDTSequence('M0101', 'train', dict(night=True))
    boxes, regions = np.array([[1, 1, 2, 3, 4, 5, 0, 1, 1.0]]), np.array([[1, 1, 0, 0, 9, 9.0]])
    frames = UAVDTFrames(sequence, np.array([1]), ('a.jpg',), np.array([[64, 48]]), boxes, regions, (0, 0))
    with open(path, 'w') as file:
        writer = CocoSplitWriter(file, ('car', 'truck', 'bus'), {})
        writer.add(frames)
        writer.finish()
    return json.loads(path.read_text())


@FUZZ
@given(data=st.data())
def test_converted_truth(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / 'instances_train.json'
    content = converted(path)
    for _ in range(data.draw(st.integers(1, 3))):
        node, place = content, data.draw(st.sampled_from([*content]))
        while isinstance(node[place], (list, dict)) and node[place] and data.draw(st.booleans()):
            node = node[place]
            place = data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node))))
        node[place] = data.draw(JSON)
    path.write_text(json.dumps(content))
    line = problem(read_truth, path)
    assert not line or path.name in line
