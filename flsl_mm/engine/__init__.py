"""Optimiser wrappers, the training loop, schedules and hooks of training."""

from .atomic_backend import FLSLAtomicBackend
from .checkpoint_hook import FLSLCheckpointHook
from .compile_hook import FLSLCompileHook
from .detection_check import FLSLDetectionCheckHook
from .export_hook import FLSLBackboneExportHook
from .history_hook import FLSLHistoryHook
from .layer_decay import FLSLLayerDecayConstructor
from .lr_scheduler import FLSLWarmupCosineLR
from .nonfinite_hook import FLSLNonFiniteHook
from .optim_wrapper import FLSLAmpOptimWrapper, FLSLOptimWrapper
from .param_groups import FLSLOptimWrapperConstructor
from .preemption_hook import FLSLPreemptionHook
from .probe_hook import FLSLPatchProbeHook
from .report_hook import FLSLReportHook
from .schedule_hooks import FLSLFreezeLastLayerHook, FLSLScheduleHook
from .seed_hook import FLSLReseedHook
from .skipped_images_hook import FLSLSkippedImagesHook
from .train_loop import FLSLEpochTrainLoop

__all__ = [
    'FLSLAmpOptimWrapper',
    'FLSLAtomicBackend',
    'FLSLBackboneExportHook',
    'FLSLCheckpointHook',
    'FLSLCompileHook',
    'FLSLDetectionCheckHook',
    'FLSLEpochTrainLoop',
    'FLSLFreezeLastLayerHook',
    'FLSLHistoryHook',
    'FLSLLayerDecayConstructor',
    'FLSLNonFiniteHook',
    'FLSLOptimWrapper',
    'FLSLOptimWrapperConstructor',
    'FLSLPatchProbeHook',
    'FLSLPreemptionHook',
    'FLSLReportHook',
    'FLSLReseedHook',
    'FLSLScheduleHook',
    'FLSLSkippedImagesHook',
    'FLSLWarmupCosineLR',
]
