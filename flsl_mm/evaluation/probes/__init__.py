"""What frozen features know, measured on data; imports features, figures, datasets, scenes and visualization.

A probe is built on data and called with a feature source (:mod:`.sources`): a model, or one of the trivial features
beside which its figures stand. The hook is left out where mmengine is missing.
"""

from importlib.util import find_spec

from .bbox_knn import BBoxKNNProbe
from .classification import ClassificationProbe
from .diversity import DiversityProbe
from .object_discovery import ObjectDiscoveryProbe
from .retrieval import ClusteringProbe, RetrievalProbe
from .scenes import ScenesProbe
from .segmentation import SegmentationProbe
from .table import measure, render, trivial_sources

__all__ = [
    'BBoxKNNProbe',
    'ClassificationProbe',
    'ClusteringProbe',
    'DiversityProbe',
    'ObjectDiscoveryProbe',
    'RetrievalProbe',
    'ScenesProbe',
    'SegmentationProbe',
    'measure',
    'render',
    'trivial_sources',
]

if find_spec('mmengine'):
    from .hook import FLSLProbeHook

    __all__ += ['FLSLProbeHook']
