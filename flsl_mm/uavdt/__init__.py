"""The UAVDT benchmark, from its files to its figures; imports datasets, pycocotools and mmengine, and no mmdet."""

from .ignore_regions import FLSLExtendIgnoreRegions, FLSLIgnoreRegionAssigner
from .metric import UAVDTMetric

__all__ = ['FLSLExtendIgnoreRegions', 'FLSLIgnoreRegionAssigner', 'UAVDTMetric']
