"""Weights in files: safe reading, layouts of other programs, verified loading, conversion; imports models and torch."""

from .convert import backbone_content, backbone_file, to_flsl, to_official, to_timm
from .files import CheckpointError, read_checkpoint, write_checkpoint, write_safetensors
from .find import find_backbone
from .load import FLSLPretrained, check_backbone_file, check_strict, load_backbone

__all__ = [
    'CheckpointError',
    'FLSLPretrained',
    'backbone_content',
    'backbone_file',
    'check_backbone_file',
    'check_strict',
    'find_backbone',
    'load_backbone',
    'read_checkpoint',
    'to_flsl',
    'to_official',
    'to_timm',
    'write_checkpoint',
    'write_safetensors',
]
