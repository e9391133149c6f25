"""Values of --cfg-options, and options that nothing reads."""

import argparse

import pytest
from mmengine.config import Config

from flsl_mm.commands.config_options import ConfigOptions, check_options, parse_value


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('/content/drive/My Drive/photos', '/content/drive/My Drive/photos'),
        ('/data/a,b', '/data/a,b'),
        ("'C:\\My Images'", 'C:\\My Images'),
        ('My Drive', 'My Drive'),
        ('[/data/a b, /data/c]', ['/data/a b', '/data/c']),
        ('32', 32),
        ('1e-3', 1e-3),
        ('True', True),
        ('None', None),
        ('1,2,3', [1, 2, 3]),
        ('bbox, segm', ['bbox', 'segm']),
        ('[(1, 2), (3, x y)]', [(1, 2), (3, 'x y')]),
        ('(0.8,1)', (0.8, 1)),
    ],
)
def test_values(text, value):
    assert parse_value(text) == value


def test_a_name_with_a_comma_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_value('a,b') == ['a', 'b']
    (tmp_path / 'a,b').mkdir()
    assert parse_value('a,b') == 'a,b'


def test_options_add_up_and_need_a_value(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    args = parser.parse_args(['--cfg-options', 'a.b=1', 'c.d=x=y', '--cfg-options', 'a.b=2'])
    assert args.cfg_options == {'a.b': 2, 'c.d': 'x=y'}
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a.b=/My', 'Drive'])
    assert "takes KEY=VALUE, got 'Drive': quote an option that has spaces" in capsys.readouterr().err


def test_variables_of_the_config_file_are_refused():
    dataset = dict(data_root='x/')
    cfg = Config(dict(data_root='x/', train_dataloader=dict(dataset=dataset), test=[dataset]))
    expected = r'^--cfg-options data_root=\.\.\. changes nothing, .*: set train_dataloader\.dataset\.data_root, test'
    with pytest.raises(ValueError, match=expected):
        check_options(cfg, {'data_root': 'y'})
    with pytest.raises(ValueError, match=r'max_epoch=\.\.\. changes nothing'):
        check_options(cfg, {'max_epoch': 1})
    check_options(cfg, {'train_dataloader.dataset.data_root': 'y', 'load_from': 'a', 'resume': True, 'work_dir': 'w'})
