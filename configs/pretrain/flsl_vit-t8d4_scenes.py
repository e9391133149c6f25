# A demonstration without download: the recipe for mixed images on generated scenes, 600 steps in minutes of two CPU
# cores. Positions stay whole, and larger student crops and fewer cells do for so few steps (docs/evidence_details.md).
_base_ = 'flsl_vit-t8d4_content.py'
custom_imports = dict(
    imports=['flsl_mm', 'flsl_mm.selfsup', 'flsl_mm.scenes', 'flsl_mm.evaluation.probes'], allow_failed_imports=False
)

model = dict(
    backbone=dict(pos_scale=1.0),
    data_preprocessor=dict(global_crops=dict(scale=(0.3, 0.8))),
    target_centering=dict(cells=6),
)
train_dataloader = dict(
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='FLSLSampler'),
    dataset=dict(_delete_=True, type='FLSLScenes', length=2400, view_size=128),
)
train_cfg = dict(max_epochs=4)
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=1),
    logger=dict(interval=10),
    probe=dict(type='FLSLProbeHook', scenes=dict(num_scenes=500), scale=10.0),
)
