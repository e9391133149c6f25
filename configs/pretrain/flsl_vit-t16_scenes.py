# A demonstration without download: ViT-T/16 on generated scenes, a few minutes on two CPU cores.
_base_ = ['_base_/flsl_vit.py', '_base_/schedule_300e.py', '_base_/runtime.py']
custom_imports = dict(
    imports=['flsl_mm', 'flsl_mm.selfsup', 'flsl_mm.scenes', 'flsl_mm.probes'], allow_failed_imports=False
)

model = dict(
    backbone=dict(arch='tiny', img_size=128),
    head=dict(hidden_channels=(512, 512), bottleneck_channels=64, num_prototypes=256),
    data_preprocessor=dict(global_crops=dict(size=128), local_crops=dict(size=64, scale=(0.15, 0.4))),
    teacher_temp=0.04,  # the recipe's start value: 200 steps are too few to raise it
)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='FLSLSampler'),
    dataset=dict(type='FLSLScenes', length=640, view_size=128),
)
train_cfg = dict(max_epochs=5)
optim_wrapper = dict(optimizer=dict(lr=8e-3))  # for a batch of 256, as everywhere: 5e-4 at 16
default_hooks = dict(
    logger=dict(interval=10),
    schedule=dict(_delete_=True, type='FLSLScheduleHook', momentum=dict(type='cosine', start=0.98, end=1.0)),
    probe=dict(type='FLSLProbeHook', scenes=dict()),
)
env_cfg = dict(cudnn_benchmark=False)
