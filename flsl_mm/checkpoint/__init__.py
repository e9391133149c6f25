"""Weights in files: safe reading, layouts of other programs, verified loading, conversion; imports models and torch."""

from .convert import backbone_content, backbone_file, to_flsl, to_official, to_timm
from .files import CheckpointError, local_file, read_checkpoint, write_checkpoint, write_safetensors
from .find import find_backbone
from .load import FLSLPretrained, check_backbone_file, load_backbone
from .strict import check_optimizer, check_resumable, check_strict, class_tensors, start_anew

__all__ = [
    'CheckpointError',
    'FLSLPretrained',
    'backbone_content',
    'backbone_file',
    'check_backbone_file',
    'check_optimizer',
    'check_resumable',
    'check_strict',
    'class_tensors',
    'find_backbone',
    'load_backbone',
    'local_file',
    'read_checkpoint',
    'start_anew',
    'to_flsl',
    'to_official',
    'to_timm',
    'write_checkpoint',
    'write_safetensors',
]
