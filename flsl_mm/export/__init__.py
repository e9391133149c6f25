"""Backbones in files for other programs, each checked against the original; imports api, models and checkpoint."""

from .check import TOLERANCE, Difference, ExportError, compare, other_hw
from .targets import TARGETS, Target

__all__ = ['TARGETS', 'TOLERANCE', 'Difference', 'ExportError', 'Target', 'compare', 'other_hw']
