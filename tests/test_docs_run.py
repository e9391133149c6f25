"""Commands of the pages are run as they stand, in a folder where tiny files lie under the names that they use.

Those that train or test through a Runner are not: test_docs.py checks their options against their configs, and
test_smoke_configs.py runs each config for a step.
"""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from flsl_mm.datasets.palette import write_palette_mask
from tests.builders.checkpoints import file_of, timm_vit, tiny
from tests.builders.images import make_image
from tests.builders.probe_data import write_boxes, write_classes, write_segmentation
from tests.commands.plot_run.test_read import write_run
from tests.test_docs import ALL, ROOT

pytestmark = pytest.mark.slow

QUICK = {
    'evaluate': ['--num-scenes', '3', '--random-seeds', '1', '--limit', '4', '--device', 'cpu'],
    'embed': ['--device', 'cpu'],
    'visualize': ['--device', 'cpu', '--long-side', '32'],
    'export': [],
    'convert': [],
    'plot_run': [],
}
"""Programs whose commands are run, and options that make them quick."""


def tool_of(words: list[str]) -> str:
    """Return the name of the program that a command calls as ``python tools/NAME.py`` or as ``flsl-mm NAME``."""
    return Path(words[1]).stem.replace('-', '_') if words[0] in ('python', 'flsl-mm') and len(words) > 1 else ''


# Without models of full size, one of which is to be downloaded.
RUN = {command: words for command, words in ALL.items() if tool_of(words) in QUICK and 'timm:' not in command}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('reader')
    (root / 'docs').symlink_to(ROOT / 'docs')
    runs = ('RUN/epoch_5', 'flsl_vit-t8d4_small/epoch_40')
    for name in ('FILE', 'OTHER_FILE', *(f'work_dirs/{run}_backbone.pth' for run in runs)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(file_of(tiny(3)), root / name)
    (root / 'checkpoints').mkdir()
    for words in RUN.values():
        source = next(word for word in words[2:] if not word.startswith('-'))
        if tool_of(words) == 'convert' and 'flsl' in source:
            shutil.copy(ROOT / 'tests/data/reference/official_checkpoint.pth', root / source)
        elif tool_of(words) == 'convert' and source.endswith('_backbone.pth'):
            torch.save(file_of(tiny(3)), root / source)
        elif tool_of(words) == 'convert':
            (root / source).parent.mkdir(parents=True, exist_ok=True)
            torch.save(timm_vit(embed_dim=192, depth=1, num_heads=3).state_dict(), root / source)
    for path in ('IMAGES', 'FOLDER', 'FRAMES', 'MIX'):
        (root / path).mkdir()
        for name in ('00000.png', '00001.png', '00002.png'):
            make_image(40, 32).save(root / path / name)
    for name in ('a.jpg', 'b.png', 'cat.jpg', 'dog.jpg'):
        make_image(160, 128).save(root / name)
    mask = np.zeros((32, 40), np.uint8)
    mask[8:20, 8:24] = 1
    write_palette_mask(root / 'FIRST_MASK.png', mask)
    write_segmentation(root / 'CAMVID', images=4)
    write_classes(root / 'TINY_IMAGENET', images=4)
    for split in ('train', 'val'):
        write_boxes(root / split, num_classes=3, images=6).rename(root / f'{split}.json')
        (root / split / 'images').rename(root / f'{split}2017')
    for run in ('flsl_vit-t8d4_scenes', 'seed_0', 'seed_1'):
        write_run(root / 'work_dirs' / run, [dict(loss=5.0, step=1), dict(loss=4.0, step=2)])
    return root


@pytest.mark.parametrize('words', RUN.values(), ids=RUN)
def test_a_command_runs(words, folder, monkeypatch, capsys, fresh_logger):
    monkeypatch.chdir(folder)
    name = tool_of(words)
    tool = importlib.import_module(f'flsl_mm.commands.{name}')
    assert tool.main([*words[2:], *QUICK[name]]) in (0, None), capsys.readouterr().err
