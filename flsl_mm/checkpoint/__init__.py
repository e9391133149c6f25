"""Weights in files: safe reading, layouts of other programs, verified loading, conversion; imports models and torch."""

from .convert import to_flsl, to_official, to_timm
from .files import CheckpointError, read_checkpoint, write_checkpoint
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
    'to_flsl',
    'to_official',
    'to_timm',
    'write_checkpoint',
]
