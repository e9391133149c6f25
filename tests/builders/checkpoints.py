"""Small models and checkpoints in every layout, for the tests of flsl_mm.checkpoint."""

from __future__ import annotations

import argparse
from collections import OrderedDict

import torch
from mmengine.logging import HistoryBuffer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from flsl_mm.checkpoint import backbone_file
from flsl_mm.models import FLSLHead, FLSLViT

ARCH = dict(embed_dim=16, depth=2, num_heads=2)


def tiny(seed: int = 0, **options) -> FLSLViT:
    """Make a backbone with random weights, positions on a 4x4 grid."""
    torch.manual_seed(seed)
    return FLSLViT(**dict(dict(arch=ARCH, patch_size=8, img_size=32, out_type='tokens'), **options)).eval()


def timm_vit(seed: int = 0, **options) -> VisionTransformer:
    """Make timm's model of the same geometry."""
    torch.manual_seed(seed)
    sizes = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=5)
    return VisionTransformer(**dict(sizes, **options)).eval()


def same(a: object, b: object) -> bool:
    """Compare tensors and plain values, in dicts and lists in one another, bit by bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def equal_states(a: nn.Module, b: nn.Module) -> bool:
    """Return whether two modules have the same tensors."""
    return same(a.state_dict(), b.state_dict())


def file_of(backbone: FLSLViT) -> dict:
    """Make the content of a backbone file with ImageNet's normalization."""
    return backbone_file(backbone, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def with_meta(**meta) -> dict:
    """Make a backbone file of `tiny(3)` whose metadata says something else."""
    checkpoint = file_of(tiny(3))
    checkpoint['meta'].update(meta)
    return checkpoint


def prefixed(prefix: str, state: dict) -> dict:
    """Put a prefix before every name."""
    return {prefix + name: tensor for name, tensor in state.items()}


def head_state(seed: int) -> dict[str, Tensor]:
    """Make the head's tensors in this package's names."""
    torch.manual_seed(seed)
    return prefixed('head.', FLSLHead(16, num_prototypes=8, hidden_channels=(12,), bottleneck_channels=6).state_dict())


def official_names(state: dict) -> dict:
    """Rename the last layer's tensors as the official program calls them."""
    names = {'original0': 'weight_g', 'original1': 'weight_v'}
    return {
        (f'head.last_layer.{names[name.rpartition(".")[2]]}' if 'parametrizations' in name else name): tensor
        for name, tensor in state.items()
    }


def official() -> dict:
    """Make an official FLSL training checkpoint: student is `tiny(1)`, teacher `tiny(2)`."""
    branches = {}
    for seed, (branch, module) in enumerate((('student', 'module.'), ('teacher', '')), start=1):
        backbone = prefixed('backbone.', {'cls_token': torch.full((1, 1, 16), float(seed)), **tiny(seed).state_dict()})
        branches[branch] = prefixed(module, {**backbone, **official_names(head_state(seed))})
    args = argparse.Namespace(arch='vit_custom', num_heads=2, patch_size=8, out_dim=8)
    return dict(branches, args=args, epoch=3, optimizer=dict(state={}, param_groups=[]), flsl_loss={})


def training() -> dict:
    """Make one of our training checkpoints, as MMEngine writes it: student `tiny(1)`, teacher `tiny(2)`."""
    state, history = OrderedDict(), {'train/loss': HistoryBuffer([1.0], [1])}
    for seed, prefix in ((1, ''), (2, 'teacher.')):
        state.update(prefixed(f'{prefix}backbone.', tiny(seed).state_dict()))
        state.update(prefixed(prefix, head_state(seed)))
    return dict(meta=dict(epoch=3, iter=9), state_dict=state, message_hub=dict(log_scalars=history), optimizer={})


def layouts() -> dict[str, tuple[dict, FLSLViT, dict]]:
    """Return checkpoints by layout, each with the backbone it must become and the options to load it with."""
    timm = timm_vit(7)
    table = timm.pos_embed.detach()
    learned = tiny(pos_embed='learned')
    weights = {name: tensor for name, tensor in timm.state_dict().items() if name in learned.state_dict()}
    learned.load_state_dict({**weights, 'pos_embed': table[:, 1:]})
    dino = prefixed('backbone.', {name: t for name, t in timm.state_dict().items() if not name.startswith('head.')})
    detector = {**prefixed('backbone.', tiny(5).state_dict()), 'neck.conv.weight': torch.zeros(2)}
    options = dict(pos_embed='learned')
    args = argparse.Namespace(patch_size=8)
    return {
        'ours': (training(), tiny(2), {}),
        'backbone file': (backbone_file(tiny(4), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)), tiny(4), {}),
        'official': (official(), tiny(2), {}),
        'detector': (dict(meta={}, state_dict=detector), tiny(5), {}),
        'detector under a data-parallel wrapper': (dict(state_dict=prefixed('module.', detector)), tiny(5), {}),
        'DINO': (dict(student=prefixed('module.', dino), teacher=dino, args=args), learned, options),
        'DINO, backbone alone': ({name.removeprefix('backbone.'): t for name, t in dino.items()}, learned, options),
        'DeiT': (dict(model=timm.state_dict()), learned, options),
        'DeiT, distilled': (dict(model=distilled(timm.state_dict())), learned, options),
        'timm': (timm.state_dict(), learned, options),
        'bare': (tiny(6).state_dict(), tiny(6), {}),
    }


def distilled(state: dict) -> dict:
    """Add a distillation token, with a second head and its row of positions."""
    table = state['pos_embed']
    extra = {'dist_token': torch.ones(1, 1, 16), 'head_dist.weight': torch.ones(5, 16)}
    return {**state, **extra, 'pos_embed': torch.cat([table[:, :1], table], dim=1)}
