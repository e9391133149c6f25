"""Video object segmentation by label propagation, and DAVIS; imports models, checkpoint, engine and scenes."""

from flsl_mm import engine

from .dataset import DAVISDataset
from .label_propagation import labels_to_mask, propagate_labels
from .measures import contour_accuracy, frame_statistics, region_similarity
from .metric import DAVISMetric
from .output_hook import DAVISOutputHook
from .propagator import FLSLLabelPropagator
from .scenes import DAVISScenes

__all__ = [
    'DAVISDataset',
    'DAVISMetric',
    'DAVISOutputHook',
    'DAVISScenes',
    'FLSLLabelPropagator',
    'contour_accuracy',
    'engine',
    'frame_statistics',
    'labels_to_mask',
    'propagate_labels',
    'region_similarity',
]
