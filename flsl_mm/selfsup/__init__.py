"""FLSL pretraining; importing this subpackage imports mmpretrain."""

from .flsl import FLSL

__all__ = ['FLSL']
