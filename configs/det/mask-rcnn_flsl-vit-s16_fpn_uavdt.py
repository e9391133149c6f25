# Mask R-CNN on UAVDT; the masks are the boxes' rectangles. 24,143 frames, 3,018 steps of 8 images an epoch.
_base_ = [
    './_base_/models/mask-rcnn_flsl-vit_fpn.py',
    './_base_/models/uavdt_detector.py',
    './_base_/datasets/uavdt_instance.py',
    './_base_/schedules/adamw_1x.py',
    './_base_/runtime.py',
]
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.detection', 'flsl_mm.uavdt'], allow_failed_imports=False)
model = _base_.uavdt_detector
model.backbone = dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/flsl_vit-s16_backbone.pth'))
