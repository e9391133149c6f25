"""What docs/evaluation.md shows: the Python runs, and the hook's settings are those of the probes."""

import inspect
import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import HOOKS

from flsl_mm.evaluation.probes.hook import PROBES
from tests.builders.checkpoints import file_of, tiny
from tests.builders.probe_data import write_segmentation

DOCS = Path(__file__).parents[3] / 'docs' / 'evaluation.md'


def snippets() -> tuple[str, str]:
    python, config = re.findall(r'```python\n(.*?)```', DOCS.read_text(encoding='utf-8'), re.DOTALL)
    return python, config


def test_the_python_runs(tmp_path, capsys):
    torch.save(file_of(tiny(3)), tmp_path / 'model.pth')
    folder = write_segmentation(tmp_path / 'colors', images=4)
    python, _ = snippets()
    data = f'{str(folder)!r}, num_classes=4, ignore_index=9'
    for old, new in {
        "'epoch_5_backbone.pth'": repr(str(tmp_path / 'model.pth')),
        "'camvid', num_classes=11, ignore_index=11": data,
        'ScenesProbe()': 'ScenesProbe(num_scenes=2)',
    }.items():
        assert python.count(old) == 1, old
        python = python.replace(old, new)
    exec(python, {})
    printed = capsys.readouterr().out
    assert 'matched same-object AUC' in printed
    assert 'linear probe mIoU' in printed


def test_the_hook_takes_the_settings(tmp_path):
    _, config = snippets()
    (tmp_path / 'config.py').write_text(config)
    hook = HOOKS.build(Config.fromfile(tmp_path / 'config.py').default_hooks.probe)
    assert hook.interval == 20
    assert set(hook.settings) == {'scenes', 'segmentation', 'classification'}
    for name, settings in hook.settings.items():
        inspect.signature(PROBES[name]).bind(**settings)
