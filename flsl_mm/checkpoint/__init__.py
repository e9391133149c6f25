"""Checkpoints: safe reading, the layouts of other programs, verified loading and conversion."""

from .convert import to_flsl, to_official, to_timm
from .files import CheckpointError, read_checkpoint, safe_mmengine_loading, write_checkpoint
from .layouts import find_backbone
from .load import backbone_file, check_whole, describe, init_from_cfg, load_backbone

__all__ = [
    'CheckpointError',
    'backbone_file',
    'check_whole',
    'describe',
    'find_backbone',
    'init_from_cfg',
    'load_backbone',
    'read_checkpoint',
    'safe_mmengine_loading',
    'to_flsl',
    'to_official',
    'to_timm',
    'write_checkpoint',
]
