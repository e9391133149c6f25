"""UAVDT's text files: what is in them comes back, and a mistake is named by file and line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsl_mm.uavdt.annotations import ATTRIBUTES, read_attributes, read_boxes, read_regions

GOOD = '1,7,10,20,30,40,1,4,3\n2,7,-5,20.5,30,40,2,1,1\n'


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / 'M0101_gt_whole.txt'
        path.write_bytes(text.encode())
        return path

    return write


def test_boxes_come_back(file):
    expected = [[1, 7, 10, 20, 30, 40, 1, 4, 3], [2, 7, -5, 20.5, 30, 40, 2, 1, 1]]
    # Windows line ends, a byte order mark, blanks within and between lines, no line end at the end.
    windows = '\ufeff' + GOOD.replace('\n', '\r\n\r\n').replace(',', ', ')
    for text in (GOOD, windows, '\n  \n' + GOOD.rstrip('\n')):
        np.testing.assert_array_equal(read_boxes(file(text)), expected)
    assert read_boxes(file('')).shape == read_boxes(file('\n')).shape == (0, 9)
    with pytest.raises(ValueError, match='line 1: 8 columns'):  # every line is of another length
        read_boxes(file('1,7,10,20,30,40,1,4\n1,8,10,20,30,40,1,4\n'))


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('3,1,10,20,30,40,1,1', 'line 4: 8 columns'),
        ('3,1,10,20,30,40,1,1,1,1', 'line 4: 10 columns'),
        ('3,1,10,20,30', 'line 4: 5 columns'),
        ('3,1,10,20,30,,1,1,1', 'line 4: no numbers'),
        ('3,1,10,20,30,4o,1,1,1', 'line 4: no numbers'),
        ('3,1,10,20,nan,40,1,1,1', 'line 4: .* must have finite numbers'),
        ('3,1.5,10,20,30,40,1,1,1', 'line 4: .* whole ones except for the box'),
        ('0,1,10,20,30,40,1,1,1', 'line 4: .* frames from 1 on'),
        ('3,1,10,20,30,40,1,1,0', 'line 4: category 0, but 1 to 3 are known'),
        ('3,1,10,20,30,40,1,1,4', 'line 4: category 4'),
        ('\x00\x01binary\xff', 'line 4: 1 columns'),
    ],
)
def test_a_wrong_line_is_named(file, line, message):
    # The blank line counts, as in an editor.
    first, second = GOOD.splitlines()
    for text in (f'{first}\n\n{second}\n{line}\n', f'{first}\n{second}\n\n{line}\n{first}', f'\n\n\n{line}'):
        with pytest.raises(ValueError, match=rf'M0101_gt_whole.txt, {message}') as caught:
            read_boxes(file(text))
        assert '\n' not in str(caught.value)


def test_regions_may_have_any_columns_after_the_sixth(file, tmp_path):
    path = file('1,9,914,189,105,54,1,-1,-1\n2,9,914,189,105,54\n')
    np.testing.assert_array_equal(read_regions(path), [[1, 9, 914, 189, 105, 54], [2, 9, 914, 189, 105, 54]])
    with pytest.raises(ValueError, match='line 2: 5 columns'):
        read_regions(file('1,9,914,189,105,54,1,-1,-1\n2,9,914,189,105\n'))
    assert read_regions(tmp_path / 'absent.txt').shape == (0, 6)
    with pytest.raises(FileNotFoundError, match='no file'):
        read_boxes(tmp_path / 'absent.txt')


def test_attributes(tmp_path):
    path = tmp_path / 'M0101_attr.txt'
    for text in ('0,1,0,0,0,1,1,1,0,1\n', '0 1 0 0 0 1 1 1 0 1', '0, 1, 0,\n0,0,1,1,1,0,1,'):
        path.write_text(text)
        flags = read_attributes(path)
        assert tuple(flags) == ATTRIBUTES
        on = [name for name, flag in flags.items() if flag]
        assert on == ['night', 'high_altitude', 'front_view', 'side_view', 'long_term']
    for text in ('', '1,0,0', '0,1,0,0,0,1,1,1,0,2', '0,1,0,0,0,1,1,1,0,1,1'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'M0101_attr.txt: expected 10 flags'):
            read_attributes(path)


numbers = [st.integers(-2000, 2000)] * 6
row = st.tuples(st.integers(1, 3000), st.integers(0, 999), *numbers, st.integers(1, 3))


@given(st.lists(row, max_size=20))
def test_any_table_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp('truth') / 'boxes.txt'
    path.write_text(''.join(','.join(map(str, values)) + '\n' for values in rows))
    np.testing.assert_array_equal(read_boxes(path), np.array(rows).reshape(-1, 9))
