# What patches show, not where they lie: trained with positions, used with a twentieth of them, on windows of an image
# that do not depend on each other. For mixed images; 5 epochs of 27,716 take 37 minutes of one CPU core.
# docs/evidence.md has the figures.
_base_ = 'flsl_vit-t8d4_small.py'

model = dict(
    # In training, positions of a random window of the plane; after it, of a window a twentieth as large (0 gives none).
    backbone=dict(pos_scale=0.05, position_jitter=dict(range=24.0, zoom=1.5)),
    data_preprocessor=dict(
        teacher_crop=dict(size=96, scale=(0.25, 0.6)),
        clean_teacher=True,
        flip_prob=0.5,
        global_crops=dict(scale=(0.15, 0.5)),
        local_crops=dict(scale=(0.08, 0.25)),
        photometric=dict(_delete_=True, hue=0.2, saturation=0.4),
    ),
    # At the paper's scales a mode is near the mean of its view, and what is learned is the image as a whole.
    self_scale=1.0,
    cross_scale=2.0,
    intra_weight=0.0,
    anchor_width=0.08,
    target_centering=dict(image=0.75, cells=12, momentum=0.98),
    teacher_temp=0.01,
    momentum=0.98,
)
train_dataloader = dict(dataset=dict(size=128))
train_cfg = dict(max_epochs=5)
optim_wrapper = dict(cpu_dtype='bfloat16')
default_hooks = dict(
    checkpoint=dict(interval=1),
    schedule=dict(momentum=dict(type='cosine', start=0.98, end=0.998)),
    freeze_last_layer=dict(epochs=0),
)
