"""Video object segmentation by label propagation, evaluated as on DAVIS; importing registers model, metric and hook."""

from .davis_measures import contour_accuracy, frame_statistics, region_similarity
from .davis_metric import DAVISMetric
from .label_propagation import labels_to_mask, propagate_labels
from .output_hook import DAVISOutputHook
from .propagator import LabelPropagator

__all__ = [
    'DAVISMetric',
    'DAVISOutputHook',
    'LabelPropagator',
    'contour_accuracy',
    'frame_statistics',
    'labels_to_mask',
    'propagate_labels',
    'region_similarity',
]
