"""What the programs keep from the console, and what they do not."""

import logging
import warnings

import pytest
from mmengine import logging as mm_logging

from flsl_mm.commands.quiet import read_config_quietly, short_warnings, without_debug_messages

CONFIG = """
import warnings
warnings.warn('mmcv was installed without compiled ops. Do this.', RuntimeWarning)
warnings.warn('something else', UserWarning)
default_scope = '{scope}'
"""


@pytest.mark.parametrize(('scope', 'count'), [('mmdet', 2), ('mmpretrain', 1)])
def test_missing_ops_matter_to_detectors_alone(scope, count, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(scope=scope))
    with pytest.warns() as caught:
        read_config_quietly(str(path))
    assert [str(warning.message) for warning in caught][-1] == 'something else'
    assert len(caught) == count


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('a.py', b'a = ('),
        ('a.py', b'\xff'),
        ('a.txt', b'a = 1'),
        ('a.py', b'a\0'),
        ('a.json', b'['),
        ('a.yml', b'a: ['),
    ],
)
def test_what_is_no_config_is_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'{name} is no config that can be read, Python, YAML or JSON: .+'):
        read_config_quietly(str(tmp_path / name))


@pytest.mark.parametrize(('shown', 'line'), [(True, 'warning: mind this\n'), (False, '')])
def test_warnings_take_a_line_and_are_said_once(shown, line):
    before = warnings.formatwarning
    with short_warnings(shown):
        assert warnings.formatwarning(UserWarning('mind this'), UserWarning, 'file.py', 3) == line
    assert warnings.formatwarning is before


def test_debug_messages_without_a_logger_are_not_printed(capsys):
    with without_debug_messages():
        mm_logging.print_log('for developers', level=logging.DEBUG)
        mm_logging.print_log('for\nusers\x1b')
    assert capsys.readouterr().out == 'for\nusers\\x1b\n'
