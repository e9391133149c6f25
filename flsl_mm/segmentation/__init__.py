"""Segmentors of mmseg on the backbone: data, a linear head, checks; imports mmseg, engine, scenes, datasets, models."""

from flsl_mm import engine

from .check_hook import FLSLSegmentationCheckHook
from .dataset import (
    FLSLADE20KDataset,
    FLSLCamVidDataset,
    FLSLLoadSegmentation,
    FLSLScenesSegmentation,
    FLSLSegmentationDataset,
)
from .linear_head import FLSLLinearHead

__all__ = [
    'FLSLADE20KDataset',
    'FLSLCamVidDataset',
    'FLSLLinearHead',
    'FLSLLoadSegmentation',
    'FLSLScenesSegmentation',
    'FLSLSegmentationCheckHook',
    'FLSLSegmentationDataset',
    'engine',
]
