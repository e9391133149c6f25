"""Detectors of mmdet on the backbone: COCO-style data, checks before a run; imports mmdet, engine, scenes, datasets."""

from flsl_mm import engine

from .check_hook import FLSLDetectionCheckHook
from .coco import FLSLCocoDataset
from .scenes import FLSLScenesCoco

__all__ = ['FLSLCocoDataset', 'FLSLDetectionCheckHook', 'FLSLScenesCoco', 'engine']
