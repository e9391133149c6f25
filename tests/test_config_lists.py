"""Every config is in the model list and the README of its folder, and its hooks have names."""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
LISTS = sorted(ROOT.glob('configs/*/metafile.yml'))


@pytest.mark.parametrize('path', LISTS, ids=lambda path: path.parent.name)
def test_every_config_is_listed(path):
    content = yaml.safe_load(path.read_text())
    configs = {str(config.relative_to(ROOT)) for config in path.parent.glob('*.py')}
    assert {model['Config'] for model in content['Models']} == configs
    assert all(model['Name'] == Path(model['Config']).stem for model in content['Models'])
    collections = {collection['Name'] for collection in content['Collections']}
    assert {model['In Collection'] for model in content['Models']} == collections
    readme = (path.parent / 'README.md').read_text()
    ablations = [str(config) for config in path.parent.glob('ablations/*.py')]
    assert [config for config in [*configs, *ablations] if Path(config).name not in readme] == []


def test_model_index_names_the_lists():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert sorted(index['Import']) == [str(path.relative_to(ROOT)) for path in LISTS]


MMENGINE = [path for path in ROOT.glob('configs/*/*.py') if path.parent.name != 'detectron2']


@pytest.mark.parametrize('path', [str(path.relative_to(ROOT)) for path in MMENGINE])
def test_every_hook_has_a_name_by_which_a_config_changes_it(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(path, import_custom_modules=False)
    assert 'custom_hooks' not in cfg
    assert all('type' in hook for hook in cfg.default_hooks.values())
