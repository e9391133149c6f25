"""Configs that pages print, each read as a user would: by a process that imports what it names, and no more."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')

from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.writers import write_scenes
from tests.builders.checkpoints import file_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

BLOCKS = {
    f'{page.stem}-{number}': block
    for page in sorted((ROOT / 'docs').glob('*.md'))
    for number, block in enumerate(re.findall(r'```python\n(.*?)```', page.read_text(encoding='utf-8'), re.DOTALL))
    if 'custom_imports' in block or block.startswith('_base_')
}
"""Those that stand alone."""

KNOWS_ALL = """
import sys
from mmengine import registry
from mmengine.config import Config

def types(node):
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        yield from types(child)
    if isinstance(node, dict) and isinstance(node.get('type'), str):
        yield node['type']

cfg = Config.fromfile(sys.argv[1])
roots = [each for each in vars(registry).values() if isinstance(each, registry.Registry)]
ours = {name for name in types(cfg.to_dict()) if name.startswith(('FLSL', 'DAVIS', 'UAVDT', 'TimmViT'))}
unknown = sorted(name for name in ours if not any(each.get(name) for each in roots))
print('unknown:', *unknown)
"""

OWN_CONFIG = """
custom_imports = dict(imports=['mmdet.models', 'mmdet.datasets', 'mmdet.evaluation'])
default_scope = 'mmdet'
anchors = dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32, 64])
assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
model = dict(
    type='RetinaNet',
    backbone=dict(type='ResNet', depth=50),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    bbox_head=dict(type='RetinaHead', num_classes=6, in_channels=256, stacked_convs=1, anchor_generator=anchors),
    train_cfg=dict(assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False),
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]
dataset = dict(
    type='CocoDataset',
    data_root='scenes',
    ann_file='annotations/instances_train.json',
    metainfo=dict(classes=('ball', 'leaf', 'fish', 'flower', 'crate', 'mushroom')),
    data_prefix=dict(img='train/'),
    pipeline=pipeline,
)
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True), dataset=dataset)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
"""


def start(folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize('name', [name for name in BLOCKS if name != 'detection-0'])
def test_a_block_registers_what_it_names(name, tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'examples').symlink_to(ROOT / 'examples')
    folder = ROOT / 'examples' / 'change_the_loss' if '../../' in BLOCKS[name] else tmp_path
    text = BLOCKS[name].replace("'../../configs", f"'{ROOT}/configs")
    (tmp_path / 'config.py').write_text(text, encoding='utf-8')
    done = start(folder, '-c', KNOWS_ALL, str(tmp_path / 'config.py'))
    assert done.stdout.splitlines()[-1:] == ['unknown:'], done.stderr[-2000:]


def test_the_drop_in_block_trains(tmp_path):
    """On a detector of the user's, with the program that the page names."""
    from flsl_mm.models import FLSLViT

    write_scenes(tmp_path / 'scenes', 'coco', TreeRequest(num=4, seed=0, val_fraction=0.5, size_hw=(64, 64)))
    (tmp_path / 'checkpoints').mkdir()
    torch.save(file_of(FLSLViT('small', patch_size=16)), tmp_path / 'checkpoints/flsl_vit-s16_backbone.pth')
    (tmp_path / 'your_config.py').write_text(OWN_CONFIG)
    (tmp_path / 'config.py').write_text(BLOCKS['detection-0'], encoding='utf-8')
    done = start(tmp_path, '-m', 'flsl_mm.commands', 'train', 'config.py')
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'loaded 149/149 backbone tensors from checkpoints/flsl_vit-s16_backbone.pth' in done.stdout + done.stderr
    assert (tmp_path / 'work_dirs/config/epoch_1.pth').is_file()
