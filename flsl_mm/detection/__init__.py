"""Detectors of mmdet on the backbone: COCO-style data, checks; imports mmdet, engine, scenes, datasets, utils."""

from flsl_mm import engine

from .check_hook import FLSLDetectionCheckHook
from .coco import FLSLCocoDataset, FLSLCocoMetric
from .scenes import FLSLScenesCoco

__all__ = ['FLSLCocoDataset', 'FLSLCocoMetric', 'FLSLDetectionCheckHook', 'FLSLScenesCoco', 'engine']
