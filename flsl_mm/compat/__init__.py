"""Run mmdet where mmcv was installed without its compiled ops: a stand-in for ``mmcv._ext`` on torchvision."""

from .mmcv_ext import MISSING_OPS_MESSAGE, StandInFinder, install

__all__ = ['MISSING_OPS_MESSAGE', 'StandInFinder', 'install']
