"""Without OpenMMLab: weights, conversion and the histories of logs, and what only MMEngine can do."""

import torch
from mmengine.logging import HistoryBuffer

from flsl_mm.checkpoint import read_checkpoint
from tests.builders.checkpoints import file_of, official, same, tiny, training
from tests.test_without_openmmlab import OPENMMLAB, run

PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')
from flsl_mm.models import FLSLViT
from flsl_mm.checkpoint import backbone_file, load_backbone, read_checkpoint, to_flsl, write_checkpoint

def build(init_cfg=None):
    return FLSLViT(dict(embed_dim=16, depth=2, num_heads=2), patch_size=8, img_size=32, init_cfg=init_cfg)

backbone = build(dict(type='Pretrained', checkpoint='backbone.pth'))
backbone.init_weights()
backbone.init_weights()
write_checkpoint(backbone_file(backbone, mean=None, std=None), 'loaded.pth')
write_checkpoint(to_flsl(read_checkpoint('official.pth')), 'converted.pth')
load_backbone(backbone, 'converted.pth')
history = read_checkpoint('history.pth')['history']
print('history', history.log_history.tolist(), history.count_history.tolist(), history.max_length)
for init_cfg in (dict(type='Constant', val=1), [dict(type='Xavier')]):
    try:
        build(init_cfg).init_weights()
    except ValueError as error:
        print(error)
"""


def test_weights_conversion_and_histories(tmp_path):
    torch.save(file_of(tiny(3)), tmp_path / 'backbone.pth')
    torch.save(official(), tmp_path / 'official.pth')
    torch.save(dict(history=HistoryBuffer([1.0, 2.0], [1, 3], max_length=5)), tmp_path / 'history.pth')
    printed = run(OPENMMLAB, PROGRAM, tmp_path)
    assert same(read_checkpoint(tmp_path / 'loaded.pth')['state_dict'], tiny(3).state_dict())
    assert printed.count('loaded 29/29 backbone tensors from backbone.pth') == 1, 'once for two calls'
    assert same(read_checkpoint(tmp_path / 'converted.pth')['state_dict'], training()['state_dict'])
    assert 'loaded 29/29 backbone tensors from converted.pth (FLSL training checkpoint, teacher)' in printed
    assert 'history [1.0, 2.0] [1, 3] 5\n' in printed
    assert printed.count("without MMEngine, init_cfg is of type 'Pretrained' only, got") == 2
