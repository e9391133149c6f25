_base_ = '../../det/_base_/runtime.py'

default_scope = 'mmseg'
default_hooks = dict(
    visualization=dict(_delete_=True, type='SegVisualizationHook'),
    # One clear line before the run where maps or the number of classes do not fit.
    check=dict(_delete_=True, type='FLSLSegmentationCheckHook'),
)
visualizer = dict(
    _delete_=True, type='SegLocalVisualizer', vis_backends=[dict(type='FLSLVisBackend')], name='visualizer'
)
sync_bn = 'torch'  # among several processes
