# The recipe for few images with position jitter, so that place is not what is learned; color is (docs/evidence.md).
# The paper's scales and color jitter, a sharper teacher. 1,500 steps: 6 epochs of 4,000 images; more did not help.
_base_ = 'flsl_vit-t8d4_small.py'

model = dict(
    backbone=dict(position_jitter=dict(range=24.0, zoom=1.5)),
    data_preprocessor=dict(photometric=dict(_delete_=True)),
    self_scale=0.1,
    cross_scale=0.2,
    teacher_temp=0.02,
    momentum=0.98,
)
train_cfg = dict(max_epochs=6)
default_hooks = dict(
    checkpoint=dict(interval=1),
    schedule=dict(momentum=dict(type='cosine', start=0.98, end=0.998)),
    freeze_last_layer=dict(epochs=0),
)
