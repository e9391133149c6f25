# Second of two stages: the sharpened attention of the first stage's backbone is mixed into the inter-view mean shift.
# The first stage is flsl_vit-s16.py; its backbone file is looked for where that config writes it.
_base_ = '../flsl_vit-s16.py'

model = dict(
    data_preprocessor=dict(clean_views=True),
    previous_stage=dict(
        type='FLSLViT',
        arch='small',
        out_type='tokens',
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/flsl_vit-s16/epoch_300_backbone.pth'),
    ),
)
default_hooks = dict(schedule=dict(stage_mix=dict(type='cosine', start=0.0, end=0.7)))
