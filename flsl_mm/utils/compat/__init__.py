"""Run mmdet where mmcv has no compiled ops: a stand-in for ``mmcv._ext``; imports torch, torchvision and mmcv."""

from .mmcv_ext import MISSING_OPS_MESSAGE, StandInFinder, install
from .placeholders import replace_placeholders

__all__ = ['MISSING_OPS_MESSAGE', 'StandInFinder', 'install', 'replace_placeholders']
