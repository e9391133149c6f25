"""Without OpenMMLab: models and checkpoints work with torch and timm alone, in an interpreter of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

from flsl_mm.checkpoint import read_checkpoint
from tests.builders.checkpoints import file_of, official, same, tiny, training

PROGRAM = """
import logging, sys

class Blocked:
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmseg'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Blocked)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')

from flsl_mm.models import FLSLHead, FLSLViT, FLSLViTPyramid

def build(init_cfg=None):
    return FLSLViT(dict(embed_dim=16, depth=2, num_heads=2), patch_size=8, img_size=32, init_cfg=init_cfg)

backbone = build(dict(type='Pretrained', checkpoint='backbone.pth'))
backbone.init_weights()
backbone.init_weights()

from flsl_mm.checkpoint import backbone_file, load_backbone, read_checkpoint, to_flsl, write_checkpoint

write_checkpoint(backbone_file(backbone, mean=None, std=None), 'loaded.pth')

write_checkpoint(to_flsl(read_checkpoint('official.pth')), 'converted.pth')
load_backbone(backbone, 'converted.pth')

import flsl_mm
import torch

print('before it is asked for', [name for name in sys.modules if name.startswith('flsl_mm.') and 'api' in name])
features = flsl_mm.load_model('official.pth').features(torch.zeros(2, 3, 20, 33))
print('features', tuple(features.shape))
functions = flsl_mm.mean_shift_clusters, flsl_mm.pca_rgb, lambda first: flsl_mm.similarity_map(first, (0, 0))
print('looks', *(tuple(function(features[0]).shape) for function in functions))

history = read_checkpoint('history.pth')['history']
print('history', history.log_history.tolist(), history.count_history.tolist(), history.max_length)

for init_cfg in (dict(type='Constant', val=1), [dict(type='Xavier')]):
    try:
        build(init_cfg).init_weights()
    except ValueError as error:
        print(error)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Run the program in a folder with a backbone file, an official checkpoint and one that holds a log's history."""
    folder = tmp_path_factory.mktemp('alone')
    torch.save(file_of(tiny(3)), folder / 'backbone.pth')
    torch.save(official(), folder / 'official.pth')
    torch.save(dict(history=HistoryBuffer([1.0, 2.0], [1, 3], max_length=5)), folder / 'history.pth')
    done = subprocess.run([sys.executable, '-c', PROGRAM], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / 'printed').write_text(done.stdout)
    return folder


def test_init_cfg_loads_weights_once(folder):
    assert same(read_checkpoint(folder / 'loaded.pth')['state_dict'], tiny(3).state_dict())
    assert (folder / 'printed').read_text().count('loaded 29/29 backbone tensors from backbone.pth') == 1


def test_files_are_converted_and_loaded(folder):
    assert same(read_checkpoint(folder / 'converted.pth')['state_dict'], training()['state_dict'])
    line = 'loaded 29/29 backbone tensors from converted.pth (FLSL training checkpoint, teacher)'
    assert line in (folder / 'printed').read_text()


def test_a_model_is_loaded_and_gives_features(folder):
    printed = (folder / 'printed').read_text()
    assert 'before it is asked for []\n' in printed  # importing the package stays light
    assert 'features (2, 3, 5, 16)\n' in printed
    assert 'looks (3, 5) (3, 5, 3) (3, 5)\n' in printed
    assert 'official.pth does not say how its images were normalized' not in (folder / 'printed').read_text()


def test_histories_keep_their_numbers(folder):
    assert 'history [1.0, 2.0] [1, 3] 5\n' in (folder / 'printed').read_text()


def test_what_only_mmengine_can_do_is_refused(folder):
    refusal = "without MMEngine, init_cfg is of type 'Pretrained' only, got"
    assert (folder / 'printed').read_text().count(refusal) == 2
